output "bucket" {
  description = "The variable config_bucket of the module `gateway`"
  value       = aws_s3_bucket.this.id
}
