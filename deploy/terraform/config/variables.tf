variable "bucket_name" {
  type        = string
  description = "A name that no other bucket has. Empty: Terraform chooses one."
  default     = ""
}

variable "deny_file_writer" {
  type        = string
  description = "The ARN of a role of another account that may change the deny file, for example the output function_role of the module budgets. Empty: none."
  default     = ""

  validation {
    condition     = can(regex("^$|^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", var.deny_file_writer))
    error_message = "deny_file_writer must be the ARN of a role, or empty."
  }
}

variable "deny_file_key" {
  type        = string
  description = "The key of the deny file, which deny_file_writer may change"
  default     = "gateway/deny.toml"
}

variable "tags" {
  type        = map(string)
  description = "Tags of the bucket"
  default     = {}
}
