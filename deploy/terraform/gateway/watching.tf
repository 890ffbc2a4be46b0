resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch encrypts all logs with a key of its own
  #checkov:skip=CKV_AWS_338:how long the access log keeps the names of callers is the operator's choice
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

locals {
  # The filters read the access log's `status` and `reason`, the line of the process log with which a problem of
  # /readyz begins, and the sidecar's lines. An error that Bedrock answered is not the gateway's: its reason is
  # upstream_error.
  filters = {
    GatewayFailed = "{ $.status >= 500 && $.reason != \"upstream_error\" }"
    NoSession     = "{ $.reason = \"sts_*\" }"
    FetchFailed   = "\"fetch: error\""
    Problem       = "{ $.message = \"problem: *\" && $.code != \"restart_required\" }"
  }
  tasks_in_balancer = {
    LoadBalancer = aws_lb.this.arn_suffix
    TargetGroup  = aws_lb_target_group.this.arn_suffix
  }
  tasks_in_ecs = {
    ClusterName = aws_ecs_cluster.this.name
    ServiceName = aws_ecs_service.this.name
  }
  alarms = {
    UnhealthyTasks = {
      description = "A task is not ready for five minutes. /readyz and the process log say why."
      namespace   = "AWS/NetworkELB"
      metric      = "UnHealthyHostCount"
      dimensions  = local.tasks_in_balancer
      statistic   = "Maximum"
      period      = 60
      periods     = 5
      threshold   = 1
      comparison  = "GreaterThanOrEqualToThreshold"
      missing     = "notBreaching"
    }
    NoHealthyTask = {
      description = "No task is ready. Callers have no answer."
      namespace   = "AWS/NetworkELB"
      metric      = "HealthyHostCount"
      dimensions  = local.tasks_in_balancer
      statistic   = "Maximum"
      period      = 60
      periods     = 2
      threshold   = 1
      comparison  = "LessThanThreshold"
      missing     = "breaching"
    }
    CpuHigh = {
      description = "The tasks are busy although autoscaling should have added some. See MaxTasks."
      namespace   = "AWS/ECS"
      metric      = "CPUUtilization"
      dimensions  = local.tasks_in_ecs
      statistic   = "Average"
      period      = 60
      periods     = 10
      threshold   = 85
      comparison  = "GreaterThanThreshold"
      missing     = "notBreaching"
    }
    MemoryHigh = {
      description = "The tasks are near the end of their memory. See [limits] body_memory."
      namespace   = "AWS/ECS"
      metric      = "MemoryUtilization"
      dimensions  = local.tasks_in_ecs
      statistic   = "Maximum"
      period      = 60
      periods     = 5
      threshold   = 85
      comparison  = "GreaterThanThreshold"
      missing     = "notBreaching"
    }
    RequestsFail = {
      description = "The gateway itself answered with status 5xx. Group the access log by `reason`."
      namespace   = var.name
      metric      = "GatewayFailed"
      dimensions  = {}
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 20
      comparison  = "GreaterThanThreshold"
      missing     = "notBreaching"
    }
    CallersHaveNoSession = {
      description = "STS gave callers no session. The access log has the cause in `detail`."
      namespace   = var.name
      metric      = "NoSession"
      dimensions  = {}
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 5
      comparison  = "GreaterThanThreshold"
      missing     = "notBreaching"
    }
    ProblemBegan = {
      description = "A problem of /readyz began at a task. The process log has its message."
      namespace   = var.name
      metric      = "Problem"
      dimensions  = {}
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 0
      comparison  = "GreaterThanThreshold"
      missing     = "notBreaching"
    }
    FilesAreOld = {
      description = "The sidecar could not fetch the files for ten minutes. Tasks go on with the last ones."
      namespace   = var.name
      metric      = "FetchFailed"
      dimensions  = {}
      statistic   = "Sum"
      period      = 300
      periods     = 2
      threshold   = 5
      comparison  = "GreaterThanThreshold"
      missing     = "notBreaching"
    }
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.filters

  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = each.value

  metric_transformation {
    namespace     = var.name
    name          = each.key
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = each.value.comparison
  treat_missing_data  = each.value.missing
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
  tags                = var.tags
}
