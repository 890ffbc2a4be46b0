variable "name" {
  description = "The name of the function, and the beginning of the budgets' names. It also marks the function's section of the deny file."
  type        = string
  default     = "bedrock-gateway-budgets"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{1,39}$", var.name))
    error_message = "Use 2 to 40 letters, digits and hyphens."
  }
}

variable "tag_key" {
  description = "The session tag that the budgets count, as [issuer.session.tags] names it. It must be active in the bill."
  type        = string
  default     = "team"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.:/=+@-]{1,115}$", var.tag_key))
    error_message = "Use 1 to 115 letters, digits and _.:/=+@- ."
  }
}

variable "limits_usd" {
  description = "The limit of each value of the tag in a month, in US dollars, for example { search = 500, ads = 250 }."
  type        = map(number)

  validation {
    condition     = alltrue([for value, limit in var.limits_usd : can(regex("^[\\p{L}\\p{N} _./=+@-]{1,48}$", value)) && limit > 0])
    error_message = "A value has 1 to 48 letters, digits, spaces and _./=+@-, and its limit is above 0."
  }
}

variable "deny_at_percent" {
  description = "The percentage of the limit at which callers are revoked."
  type        = number
  default     = 100

  validation {
    condition     = var.deny_at_percent >= 1 && var.deny_at_percent <= 1000
    error_message = "Use 1 to 1000."
  }
}

variable "warn_at_percent" {
  description = "The percentage of the limit at which warn_email receives a message."
  type        = number
  default     = 80

  validation {
    condition     = var.warn_at_percent >= 1 && var.warn_at_percent <= 1000
    error_message = "Use 1 to 1000, and not the value of deny_at_percent."
  }
}

variable "warn_email" {
  description = "The address for warnings about budgets and about errors of the function."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[^@\\s]+$", var.warn_email))
    error_message = "Use one address of e-mail."
  }
}

variable "deny_bucket" {
  description = "The bucket of the deny file. If another account owns it, its policy must allow the role of the output function_role."
  type        = string
}

variable "deny_key" {
  description = "The key of the deny file in the bucket. The object must exist; it may be empty."
  type        = string
  default     = "gateway/deny.toml"
}

variable "deny_region" {
  description = "The region of the bucket."
  type        = string
  default     = "us-east-1"
}

variable "deny_expression" {
  description = "The CEL expression of an entry. '{value}', in quotes, becomes the tag's value. It must undo what the tag's mapping does. A wrong one makes gateways reject the whole deny file, so check it first, as deploy/payer/README.md says."
  type        = string
  default     = "claims.team == '{value}'"

  validation {
    condition     = can(regex("^[ -~]*[\"']\\{value\\}[\"'][ -~]*$", var.deny_expression))
    error_message = "The expression must contain '{value}', in quotes."
  }
}

variable "cut_streams" {
  description = "Whether an entry also aborts answers in progress."
  type        = bool
  default     = false
}
