output "bucket" {
  description = "The bucket of the bill."
  value       = aws_s3_bucket.bill.bucket
}

output "export_arn" {
  description = "The export. doctor --billing checks it."
  value       = aws_bcmdataexports_export.bill.arn
}

output "workgroup" {
  description = "The Athena workgroup of the saved queries."
  value       = aws_athena_workgroup.bill.name
}
