variable "name" {
  type        = string
  description = "The beginning of the names of all resources, and the namespace of the metrics"
  default     = "bedrock-gateway"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 24 small letters, digits and hyphens: a balancer's name has at most 32."
  }
}

variable "tags" {
  type        = map(string)
  description = "Tags of all resources. These are not the tags of callers in the bill."
  default     = {}
}
