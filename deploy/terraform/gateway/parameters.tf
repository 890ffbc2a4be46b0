# Written by .ci/stacks/parameters.py --write from the parameters of deploy/cloudformation/gateway.yaml.

variable "image" {
  type        = string
  description = "The gateway's image. Best by digest, from a registry of your own."
  default     = "ghcr.io/bedrock-gateway/bedrock-gateway:0.1.0"
}

variable "architecture" {
  type        = string
  description = "The processors of the tasks. The image must be made for them."
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.architecture)
    error_message = "architecture must be one of X86_64, ARM64."
  }
}

variable "cpu" {
  type        = number
  description = "CPU units of a task, 1024 for one vCPU. Fargate accepts certain pairs with memory only."
  default     = 1024

  validation {
    condition     = contains([512, 1024, 2048, 4096, 8192], var.cpu)
    error_message = "cpu must be one of 512, 1024, 2048, 4096, 8192."
  }
}

variable "memory" {
  type        = number
  description = "A task's memory in MiB. [limits] body_memory, 512 MiB by default, must fit into it."
  default     = 2048
}

variable "min_tasks" {
  type        = number
  description = "The least number of tasks. Two survive the loss of a zone."
  default     = 2

  validation {
    condition     = var.min_tasks >= 1
    error_message = "min_tasks must be at least 1."
  }
}

variable "max_tasks" {
  type        = number
  description = "The largest number of tasks"
  default     = 10

  validation {
    condition     = var.max_tasks >= 1
    error_message = "max_tasks must be at least 1."
  }
}

variable "cpu_target" {
  type        = number
  description = "The mean use of CPU in per cent that autoscaling aims at"
  default     = 60

  validation {
    condition     = var.cpu_target >= 10 && var.cpu_target <= 90
    error_message = "cpu_target must be 10 to 90."
  }
}

variable "task_role_name" {
  type        = string
  description = "The gateway's own role, which `bedrock-gateway iam --runs-on ecs` creates in this account"
  default     = "BedrockGateway"
}

variable "config_bucket" {
  type        = string
  description = "The bucket of this account with gateway.toml and deny.toml. config.yaml makes one."
}

variable "config_prefix" {
  type        = string
  description = "The prefix of the files in the bucket, with a slash at its end"
  default     = "gateway/"

  validation {
    condition     = can(regex("^([A-Za-z0-9_.-]+/)+$", var.config_prefix))
    error_message = "config_prefix must be a text that matches the pattern."
  }
}

variable "config_interval" {
  type        = number
  description = "Seconds between two looks at the bucket"
  default     = 15

  validation {
    condition     = var.config_interval >= 5 && var.config_interval <= 20
    error_message = "config_interval must be 5 to 20."
  }
}

variable "tls_secret_arn" {
  type        = string
  description = "For listener_protocol TCP - the secret with a PEM text of certificate, intermediate certificates and private key. It is the file tls.pem of the task."
  default     = ""
}

variable "cli_image" {
  type        = string
  description = "The image of the AWS CLI that fetches the files, with the gateway's role. Best by digest, from a registry of your own."
  default     = "public.ecr.aws/aws-cli/aws-cli:2.36.43"
}

variable "vpc_id" {
  type        = string
  description = "The VPC of balancer and tasks"
}

variable "balancer_subnets" {
  type        = list(string)
  description = "The subnets of the balancer, one for each zone"
}

variable "task_subnets" {
  type        = list(string)
  description = "The subnets of the tasks. They need a way to Bedrock, STS, S3, the issuers and the images."
}

variable "assign_public_ip" {
  type        = string
  description = "ENABLED only for public subnets without a NAT gateway"
  default     = "DISABLED"

  validation {
    condition     = contains(["ENABLED", "DISABLED"], var.assign_public_ip)
    error_message = "assign_public_ip must be one of ENABLED, DISABLED."
  }
}

variable "scheme" {
  type        = string
  description = "Whether the balancer has addresses of the VPC or of the internet"
  default     = "internal"

  validation {
    condition     = contains(["internal", "internet-facing"], var.scheme)
    error_message = "scheme must be one of internal, internet-facing."
  }
}

variable "client_cidr" {
  type        = string
  description = "The addresses of the clients"
  default     = "10.0.0.0/8"

  validation {
    condition     = can(regex("^[0-9.]+/[0-9]{1,2}$", var.client_cidr))
    error_message = "client_cidr must be a text that matches the pattern."
  }
}

variable "balancer_cidr" {
  type        = string
  description = "The addresses of the balancer in the VPC, for example the CIDR of the VPC. The gateway believes a PROXY protocol header from there only. It is $${GATEWAY_BALANCERS} in gateway.toml."

  validation {
    condition     = can(regex("^[0-9.]+/[0-9]{1,2}$", var.balancer_cidr))
    error_message = "balancer_cidr must be a text that matches the pattern."
  }
}

variable "listener_protocol" {
  type        = string
  description = "TCP - the gateway has the certificate, and tokens are encrypted up to it. TLS - the balancer has the certificate, sends plain HTTP to the tasks, and forgets a connection that is silent for 350 s, which cannot be changed."
  default     = "TCP"

  validation {
    condition     = contains(["TCP", "TLS"], var.listener_protocol)
    error_message = "listener_protocol must be one of TCP, TLS."
  }
}

variable "listener_port" {
  type        = number
  description = "The port of the balancer"
  default     = 443

  validation {
    condition     = var.listener_port >= 1 && var.listener_port <= 65535
    error_message = "listener_port must be 1 to 65535."
  }
}

variable "certificate_arn" {
  type        = string
  description = "For listener_protocol TLS - the certificate in ACM"
  default     = ""
}

variable "tcp_idle_timeout" {
  type        = number
  description = "For listener_protocol TCP - seconds until the balancer forgets a silent connection"
  default     = 6000

  validation {
    condition     = var.tcp_idle_timeout >= 60 && var.tcp_idle_timeout <= 6000
    error_message = "tcp_idle_timeout must be 60 to 6000."
  }
}

variable "deregistration_delay" {
  type        = number
  description = "Seconds that open connections may go on before ECS sends SIGTERM to a task that it replaces. Longer for longer streams; a deployment takes that much longer."
  default     = 120

  validation {
    condition     = var.deregistration_delay >= 0 && var.deregistration_delay <= 3600
    error_message = "deregistration_delay must be 0 to 3600."
  }
}

variable "stop_timeout" {
  type        = number
  description = "Seconds from SIGTERM to SIGKILL, at most 120 on Fargate. drain_delay and drain_timeout of gateway.toml must together be some seconds less."
  default     = 120

  validation {
    condition     = var.stop_timeout >= 30 && var.stop_timeout <= 120
    error_message = "stop_timeout must be 30 to 120."
  }
}

variable "log_retention_days" {
  type        = number
  description = "Days that CloudWatch keeps the logs. The access log names callers."
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922], var.log_retention_days)
    error_message = "log_retention_days must be one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922."
  }
}

variable "alarm_topic_arn" {
  type        = string
  description = "The SNS topic that alarms are sent to. Empty - alarms show in CloudWatch only."
  default     = ""
}
