variable "export_name" {
  description = "The name of the export, before its generation, and of the Athena workgroup."
  type        = string
  default     = "bedrock-gateway"

  validation {
    condition     = can(regex("^[0-9a-z][0-9a-z-]{1,40}$", var.export_name))
    error_message = "Use 2 to 41 lower-case letters, digits and hyphens."
  }
}

variable "generation" {
  description = "Raise it by one with each change of the export's columns or settings. The new export is created before the old one is deleted, so both need names of their own."
  type        = number
  default     = 1
}

variable "time_granularity" {
  description = "Rows by hour or by day: HOURLY or DAILY. HOURLY makes many times more rows."
  type        = string
  default     = "DAILY"

  validation {
    condition     = contains(["HOURLY", "DAILY"], var.time_granularity)
    error_message = "Use HOURLY or DAILY."
  }
}

variable "keep_days" {
  description = "Days for which the bucket keeps the bill, 775 for 25 months. The files name persons."
  type        = number
  default     = 775

  validation {
    condition     = var.keep_days >= 62 && var.keep_days <= 3660
    error_message = "Use 62 to 3660 days."
  }
}

variable "invocation_roles" {
  description = "The names of the gateway's invocation roles. The saved queries use them."
  type        = list(string)
  default     = ["BedrockUser"]

  validation {
    condition     = alltrue([for role in var.invocation_roles : can(regex("^[\\w+=.@-]+$", role))])
    error_message = "A name of a role has letters, digits and _+=.@- only."
  }
}

variable "tag_key" {
  description = "The session tag, as [issuer.session.tags] names it, of the saved query by tag."
  type        = string
  default     = "team"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.:/=+@-]{1,128}$", var.tag_key))
    error_message = "Use 1 to 128 letters, digits and _.:/=+@- ."
  }
}
