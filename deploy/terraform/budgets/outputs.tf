output "function_role" {
  description = "The role that writes the deny file. Let the policy of a bucket of another account allow it s3:GetObject and s3:PutObject."
  value       = aws_iam_role.function.arn
}

output "function" {
  description = "The function."
  value       = aws_lambda_function.budgets.function_name
}
