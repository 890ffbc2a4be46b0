locals {
  containers = [
    {
      name      = "gateway"
      image     = var.image
      essential = true
      command   = ["serve", "--config", "/etc/bedrock-gateway/gateway.toml"]
      # Shares of a busy CPU, seven to one for the gateway. Each container may use what the other leaves.
      cpu                    = 448
      user                   = "65532:65532"
      readonlyRootFilesystem = true
      linuxParameters        = { initProcessEnabled = false, capabilities = { drop = ["ALL"] } }
      ulimits                = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]
      environment            = [{ name = "GATEWAY_BALANCERS", value = var.balancer_cidr }]
      portMappings           = [{ containerPort = local.port }, { containerPort = 9090 }]
      mountPoints            = [{ sourceVolume = "files", containerPath = "/etc/bedrock-gateway", readOnly = true }]
      # ECS stops containers in the reverse order: the sidecar after the gateway.
      dependsOn   = [{ containerName = "files", condition = "HEALTHY" }]
      stopTimeout = var.stop_timeout
      healthCheck = {
        command     = ["CMD", "/bedrock-gateway", "probe", "--address", "127.0.0.1:9090"]
        interval    = 10
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }
      logConfiguration = {
        logDriver = "awslogs"
        options   = merge(local.log_options, { awslogs-stream-prefix = "gateway" })
      }
    },
    # Not essential: the gateway goes on with the last files while ECS starts the sidecar again.
    {
      name          = "files"
      image         = var.cli_image
      essential     = false
      cpu           = 64
      memory        = 256
      restartPolicy = { enabled = true, restartAttemptPeriod = 60 }
      entryPoint    = ["/bin/sh", "-c"]
      command       = [file("${path.module}/fetch.sh")]
      # A volume of Fargate belongs to root, so the sidecar is root, without capabilities.
      user                   = "0"
      readonlyRootFilesystem = true
      linuxParameters        = { initProcessEnabled = false, capabilities = { drop = ["ALL"] } }
      environment = [
        { name = "BUCKET", value = var.config_bucket },
        { name = "PREFIX", value = var.config_prefix },
        { name = "FOLDER", value = "/files" },
        { name = "INTERVAL", value = tostring(var.config_interval) },
        { name = "REQUIRED", value = local.tcp ? "gateway.toml deny.toml tls.pem" : "gateway.toml deny.toml" },
        { name = "TLS_SECRET", value = var.tls_secret_arn },
      ]
      mountPoints = [{ sourceVolume = "files", containerPath = "/files", readOnly = false }]
      stopTimeout = 30
      healthCheck = {
        command     = ["CMD-SHELL", "test -f /files/.fetch/ready"]
        interval    = 5
        timeout     = 5
        retries     = 10
        startPeriod = 120
      }
      logConfiguration = {
        logDriver = "awslogs"
        options   = merge(local.log_options, { awslogs-stream-prefix = "files" })
      }
    },
  ]
  log_options = {
    awslogs-group   = aws_cloudwatch_log_group.this.name
    awslogs-region  = data.aws_region.current.region
    mode            = "non-blocking"
    max-buffer-size = "25m"
  }
}

resource "aws_ecs_cluster" "this" {
  name = var.name
  tags = var.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = "${local.iam}::${local.account}:role/${var.task_role_name}"
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = jsonencode(local.containers)
  tags                     = var.tags

  runtime_platform {
    cpu_architecture        = var.architecture
    operating_system_family = "LINUX"
  }

  volume {
    name = "files"
  }
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  launch_type                        = "FARGATE"
  platform_version                   = "LATEST"
  desired_count                      = var.min_tasks
  propagate_tags                     = "SERVICE"
  enable_ecs_managed_tags            = true
  health_check_grace_period_seconds  = 60
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  tags                               = var.tags
  depends_on                         = [aws_lb_listener.this, aws_iam_role_policy.read_files]

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.task_subnets
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = var.assign_public_ip == "ENABLED"
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "gateway"
    container_port   = local.port
  }

  # Autoscaling changes it.
  lifecycle {
    ignore_changes = [desired_count]
  }
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.min_tasks
  max_capacity       = var.max_tasks
  tags               = var.tags
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "${var.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.cpu_target
    scale_out_cooldown = 60
    # Each task that leaves ends its streams.
    scale_in_cooldown = 900

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}
