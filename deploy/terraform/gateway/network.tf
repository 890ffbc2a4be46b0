locals {
  tcp  = var.listener_protocol == "TCP"
  port = local.tcp ? 8443 : 8080
}

resource "aws_security_group" "tasks" {
  name        = "${var.name}-tasks"
  description = "The tasks of bedrock-gateway"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_security_group" "balancer" {
  name        = "${var.name}-balancer"
  description = "The balancer of bedrock-gateway"
  vpc_id      = var.vpc_id
  tags        = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id = aws_security_group.balancer.id
  description       = "Clients"
  ip_protocol       = "tcp"
  from_port         = var.listener_port
  to_port           = var.listener_port
  cidr_ipv4         = var.client_cidr
}

resource "aws_vpc_security_group_egress_rule" "balancer_to_tasks" {
  for_each = { gateway = local.port, probe = 9090 }

  security_group_id            = aws_security_group.balancer.id
  description                  = "The port ${each.key} of the tasks"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.tasks.id
}

resource "aws_vpc_security_group_ingress_rule" "balancer_to_tasks" {
  for_each = { gateway = local.port, probe = 9090 }

  security_group_id            = aws_security_group.tasks.id
  description                  = "The balancer, to the port ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.balancer.id
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.tasks.id
  description       = "Bedrock, STS, S3, Secrets Manager, CloudWatch, issuers, registries"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:access logs of a Network Load Balancer exist for TLS listeners only; the gateway logs each request
  name                             = var.name
  load_balancer_type               = "network"
  internal                         = var.scheme == "internal"
  subnets                          = var.balancer_subnets
  security_groups                  = [aws_security_group.balancer.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = true
  tags                             = var.tags
}

resource "aws_lb_target_group" "this" {
  name        = "${var.name}-${local.port}"
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "TCP"
  port        = local.port
  tags        = var.tags

  deregistration_delay = var.deregistration_delay
  # A stream that is open at the end of the delay goes on until the gateway has drained.
  connection_termination = false
  preserve_client_ip     = false
  proxy_protocol_v2      = true

  # A task that is not ready finishes the streams that it has.
  target_health_state {
    enable_unhealthy_connection_termination = false
  }

  health_check {
    protocol            = "HTTP"
    port                = "9090"
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  # Its port changes with the type of the listener, and a listener must not lose its targets meanwhile.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "this" {
  load_balancer_arn        = aws_lb.this.arn
  port                     = var.listener_port
  protocol                 = var.listener_protocol
  alpn_policy              = local.tcp ? null : "HTTP2Preferred"
  ssl_policy               = local.tcp ? null : "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn          = local.tcp ? null : var.certificate_arn
  tcp_idle_timeout_seconds = local.tcp ? var.tcp_idle_timeout : null
  tags                     = var.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }

  lifecycle {
    precondition {
      condition     = local.tcp || var.certificate_arn != ""
      error_message = "A TLS listener needs certificate_arn."
    }
    precondition {
      condition     = !local.tcp || var.tls_secret_arn != ""
      error_message = "With a TCP listener the gateway needs tls_secret_arn."
    }
  }
}
