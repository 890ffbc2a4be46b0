output "endpoint" {
  description = "Where clients connect, or the target of a name of your own that the certificate has"
  value       = aws_lb.this.dns_name
}

output "balancer_zone" {
  description = "The hosted zone of the balancer, for an alias record"
  value       = aws_lb.this.zone_id
}

output "cluster" {
  description = "The cluster of the service"
  value       = aws_ecs_cluster.this.name
}

output "service" {
  description = "The name of the service"
  value       = aws_ecs_service.this.name
}

output "log_group" {
  description = "Access log, process log, and the sidecar's lines"
  value       = aws_cloudwatch_log_group.this.name
}
