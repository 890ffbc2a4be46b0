variable "bucket_name" {
  type        = string
  description = "A name that no other bucket has. Empty: Terraform chooses one."
  default     = ""
}

variable "tags" {
  type        = map(string)
  description = "Tags of the bucket"
  default     = {}
}
