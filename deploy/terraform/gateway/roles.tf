data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  iam     = "arn:${data.aws_partition.current.partition}:iam"
  bucket  = "arn:${data.aws_partition.current.partition}:s3:::${var.config_bucket}"
}

# Starts the containers. The gateway and the sidecar never use it.
resource "aws_iam_role" "execution" {
  name_prefix = "${var.name}-start-"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "${local.iam}::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

# The sidecar runs with the gateway's role, because a task has one role. This adds what it reads.
resource "aws_iam_role_policy" "read_files" {
  name = "${var.name}-read-files"
  role = var.task_role_name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "ReadFiles"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = "${local.bucket}/${var.config_prefix}*"
          # Another account may make a bucket of the name of a deleted one.
          Condition = { StringEquals = { "aws:ResourceAccount" = local.account } }
        },
        {
          Sid      = "ListFiles"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = local.bucket
          Condition = {
            StringEquals = { "s3:prefix" = var.config_prefix, "aws:ResourceAccount" = local.account }
          }
        },
      ],
      [
        for secret in compact([var.tls_secret_arn]) : {
          Sid      = "ReadCertificate"
          Effect   = "Allow"
          Action   = "secretsmanager:GetSecretValue"
          Resource = secret
        }
      ],
    )
  })
}
