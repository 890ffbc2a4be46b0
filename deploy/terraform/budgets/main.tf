# bedrock-gateway, in the account that pays: a monthly budget for each value of one session tag, and a function that
# revokes the callers of a spent budget in the gateway's deny file until the month ends. Activate the tag first.

terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # filter_expression of a budget does not work without metrics, which came later.
      version = ">= 6.45"
    }
    archive = {
      source  = "hashicorp/archive"
      version = ">= 2.4"
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
}

resource "aws_budgets_budget" "value" {
  for_each = var.limits_usd

  # var.name has no dot, so the function tells its budgets from those of other modules.
  name         = "${var.name}.${each.key}"
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(each.value)
  limit_unit   = "USD"
  metrics      = ["UnblendedCost"]

  filter_expression {
    tags {
      key    = "iamPrincipal/${var.tag_key}"
      values = [each.key]
    }
  }

  notification {
    notification_type          = "ACTUAL"
    comparison_operator        = "GREATER_THAN"
    threshold                  = var.warn_at_percent
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = [var.warn_email]
  }

  notification {
    notification_type         = "ACTUAL"
    comparison_operator       = "GREATER_THAN"
    threshold                 = var.deny_at_percent
    threshold_type            = "PERCENTAGE"
    subscriber_sns_topic_arns = [aws_sns_topic.budgets.arn]
  }

  depends_on = [aws_sns_topic_policy.budgets]
}

resource "aws_sns_topic" "budgets" {
  #checkov:skip=CKV_AWS_26:AWS Budgets needs a key of KMS with a policy of its own for that. A message only wakes the function.
  name = var.name
}

data "aws_iam_policy_document" "topic" {
  statement {
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.budgets.arn]

    principals {
      type        = "Service"
      identifiers = ["budgets.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:budgets::${local.account}:*"]
    }
  }
}

resource "aws_sns_topic_policy" "budgets" {
  arn    = aws_sns_topic.budgets.arn
  policy = data.aws_iam_policy_document.topic.json
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "function" {
  statement {
    actions   = ["budgets:ViewBudget"]
    resources = ["arn:${local.partition}:budgets::${local.account}:budget/*"]
  }

  statement {
    actions   = ["billing:GetBillingViewData"]
    resources = ["arn:${local.partition}:billing::${local.account}:billingview/primary"]
  }

  statement {
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["arn:${local.partition}:s3:::${var.deny_bucket}/${var.deny_key}"]
  }

  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function.arn}:*"]
  }
}

resource "aws_iam_role" "function" {
  name_prefix        = substr(var.name, 0, 38)
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "function" {
  name   = "deny-file"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

resource "aws_cloudwatch_log_group" "function" {
  #checkov:skip=CKV_AWS_158:CloudWatch Logs encrypts it with a key of its own; the lines have names of budgets only.
  name              = "/aws/lambda/${var.name}"
  retention_in_days = 365
}

data "archive_file" "function" {
  type        = "zip"
  output_path = "${path.root}/.terraform/${var.name}.zip"

  source {
    content  = file("${path.module}/../../payer/deny_file.py")
    filename = "index.py"
  }
}

resource "aws_lambda_function" "budgets" {
  #checkov:skip=CKV_AWS_50:One short run an hour; its log line is enough.
  #checkov:skip=CKV_AWS_115:Two concurrent runs do no harm, since each write is conditional. A reservation takes from the account.
  #checkov:skip=CKV_AWS_116:A lost event costs an hour at most, until the schedule; an alarm counts errors.
  #checkov:skip=CKV_AWS_117:It calls public endpoints of AWS only.
  #checkov:skip=CKV_AWS_173:Its environment has no secret.
  #checkov:skip=CKV_AWS_272:The code is in this module.
  function_name    = var.name
  description      = "Writes an entry for each spent budget into the deny file of bedrock-gateway."
  role             = aws_iam_role.function.arn
  runtime          = "python3.13"
  handler          = "index.handler"
  timeout          = 60
  memory_size      = 256
  filename         = data.archive_file.function.output_path
  source_code_hash = data.archive_file.function.output_base64sha256

  environment {
    variables = {
      BUDGET_PREFIX   = "${var.name}."
      TAG_KEY         = "iamPrincipal/${var.tag_key}"
      DENY_AT_PERCENT = tostring(var.deny_at_percent)
      DENY_EXPRESSION = var.deny_expression
      CUT_STREAMS     = tostring(var.cut_streams)
      DENY_BUCKET     = var.deny_bucket
      DENY_KEY        = var.deny_key
      DENY_REGION     = var.deny_region
      SECTION         = var.name
    }
  }

  depends_on = [aws_cloudwatch_log_group.function]
}

resource "aws_lambda_permission" "topic" {
  function_name = aws_lambda_function.budgets.function_name
  action        = "lambda:InvokeFunction"
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.budgets.arn
}

resource "aws_sns_topic_subscription" "function" {
  topic_arn = aws_sns_topic.budgets.arn
  protocol  = "lambda"
  endpoint  = aws_lambda_function.budgets.arn

  depends_on = [aws_lambda_permission.topic]
}

# Removes entries of budgets that were raised, and makes up for a lost notification.
resource "aws_cloudwatch_event_rule" "schedule" {
  name                = var.name
  description         = "Wakes the function of the budgets."
  schedule_expression = "rate(1 hour)"
}

resource "aws_cloudwatch_event_target" "schedule" {
  rule = aws_cloudwatch_event_rule.schedule.name
  arn  = aws_lambda_function.budgets.arn

  depends_on = [aws_lambda_permission.schedule]
}

resource "aws_lambda_permission" "schedule" {
  function_name = aws_lambda_function.budgets.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.schedule.arn
}

resource "aws_sns_topic" "alarm" {
  #checkov:skip=CKV_AWS_26:CloudWatch needs a key of KMS with a policy of its own for that. A message names the alarm only.
  name = "${var.name}-alarm"
}

resource "aws_sns_topic_subscription" "alarm" {
  topic_arn = aws_sns_topic.alarm.arn
  protocol  = "email"
  endpoint  = var.warn_email
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-errors"
  alarm_description   = "The function of the budgets fails, so spent budgets may not be revoked. Its log says why."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.budgets.function_name }
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 2
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarm.arn]
}
