# The bucket of the gateway's configuration and deny file. It comes before the module `gateway`, because tasks do not
# start without these files.
resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:who changes these files is in CloudTrail (data events); access logs need a bucket of their own
  #checkov:skip=CKV_AWS_144:the files are in the operator's repository, too; another region has a bucket of its own
  #checkov:skip=CKV_AWS_145:SSE-S3; a key of KMS would add permissions for each reader
  #checkov:skip=CKV2_AWS_62:the tasks look for changes by themselves
  bucket        = var.bucket_name == "" ? null : var.bucket_name
  bucket_prefix = var.bucket_name == "" ? "bedrock-gateway-" : null
  tags          = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

# A version is the way back from a change that went wrong.
resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 365
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "OnlyTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }], [for role in compact([var.deny_file_writer]) : {
      Sid       = "DenyFile"
      Effect    = "Allow"
      Principal = { AWS = role }
      Action    = ["s3:GetObject", "s3:PutObject"]
      Resource  = "${aws_s3_bucket.this.arn}/${var.deny_file_key}"
    }])
  })
}
