# bedrock-gateway, in the account that pays, in us-east-1: a data export of CUR 2.0 that names the caller of each Bedrock
# call, its bucket, a table for Athena without a crawler, and saved queries. Columns and queries are in deploy/payer.

terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  sources   = "${path.module}/../../payer"
  columns   = csvdecode(file("${local.sources}/columns.csv"))
  export    = "${var.export_name}-${var.generation}"
  location  = "s3://${aws_s3_bucket.bill.bucket}/bill/${local.export}/data"
  queries = {
    person       = "Cost by person"
    tag          = "Cost by tag"
    tag-person   = "Cost by tag and person"
    model        = "Cost by model"
    unattributed = "Cost without the gateway"
  }
}

resource "aws_s3_bucket" "bill" {
  #checkov:skip=CKV_AWS_18:Data events of CloudTrail record access; server access logs would need a second bucket.
  #checkov:skip=CKV_AWS_144:AWS delivers the current months again; the bill itself is the copy.
  #checkov:skip=CKV_AWS_145:SSE-S3 needs no policy of a key for Data Exports and Athena.
  #checkov:skip=CKV2_AWS_62:Nothing waits for the files.
  bucket_prefix = "${var.export_name}-bill-"
}

resource "aws_s3_bucket_ownership_controls" "bill" {
  bucket = aws_s3_bucket.bill.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "bill" {
  bucket                  = aws_s3_bucket.bill.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "bill" {
  bucket = aws_s3_bucket.bill.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "bill" {
  bucket = aws_s3_bucket.bill.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "bill" {
  bucket = aws_s3_bucket.bill.id

  # AWS writes the whole month again up to three times a day.
  rule {
    id     = "earlier-versions"
    status = "Enabled"
    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 7
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # A month's files are last written a few days after its end, so their age is about that of the month.
  rule {
    id     = "bill"
    status = "Enabled"

    filter {
      prefix = "bill/"
    }

    expiration {
      days = var.keep_days
    }
  }

  rule {
    id     = "results-of-queries"
    status = "Enabled"

    filter {
      prefix = "results/"
    }

    expiration {
      days = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.bill]
}

data "aws_iam_policy_document" "bill" {
  # The whole bucket: AWS also writes a test object outside of the export's prefix.
  statement {
    sid       = "DataExports"
    actions   = ["s3:PutObject", "s3:GetBucketPolicy"]
    resources = [aws_s3_bucket.bill.arn, "${aws_s3_bucket.bill.arn}/*"]

    principals {
      type        = "Service"
      identifiers = ["bcm-data-exports.amazonaws.com", "billingreports.amazonaws.com"]
    }

    condition {
      test     = "StringLike"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }

    condition {
      test     = "StringLike"
      variable = "aws:SourceArn"
      values = [
        "arn:${local.partition}:bcm-data-exports:us-east-1:${local.account}:export/*",
        "arn:${local.partition}:cur:us-east-1:${local.account}:definition/*",
      ]
    }
  }

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.bill.arn, "${aws_s3_bucket.bill.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "bill" {
  bucket = aws_s3_bucket.bill.id
  policy = data.aws_iam_policy_document.bill.json

  depends_on = [aws_s3_bucket_public_access_block.bill]
}

resource "aws_bcmdataexports_export" "bill" {
  export {
    name        = local.export
    description = "CUR 2.0 with the caller of each Bedrock call."

    data_query {
      query_statement = "SELECT ${join(", ", local.columns[*].name)} FROM COST_AND_USAGE_REPORT"
      table_configurations = {
        COST_AND_USAGE_REPORT = {
          BILLING_VIEW_ARN                      = "arn:${local.partition}:billing::${local.account}:billingview/primary"
          TIME_GRANULARITY                      = var.time_granularity
          INCLUDE_RESOURCES                     = "TRUE"
          INCLUDE_IAM_PRINCIPAL_DATA            = "TRUE"
          INCLUDE_MANUAL_DISCOUNT_COMPATIBILITY = "FALSE"
          INCLUDE_SPLIT_COST_ALLOCATION_DATA    = "FALSE"
        }
      }
    }

    destination_configurations {
      s3_destination {
        s3_bucket = aws_s3_bucket.bill.bucket
        s3_prefix = "bill"
        s3_region = data.aws_region.current.region

        s3_output_configurations {
          output_type = "CUSTOM"
          format      = "PARQUET"
          compression = "PARQUET"
          overwrite   = "OVERWRITE_REPORT"
        }
      }
    }

    refresh_cadence {
      frequency = "SYNCHRONOUS"
    }
  }

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = data.aws_region.current.region == "us-east-1"
      error_message = "Data Exports is in us-east-1 only: give the module a provider of that region."
    }
  }

  depends_on = [aws_s3_bucket_policy.bill]
}

resource "aws_glue_catalog_database" "bill" {
  name        = "bedrock_gateway"
  description = "The bill of Bedrock by caller."
}

resource "aws_glue_catalog_table" "bill" {
  name          = "bill"
  database_name = aws_glue_catalog_database.bill.name
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    "classification"                          = "parquet"
    "projection.enabled"                      = "true"
    "projection.billing_period.type"          = "date"
    "projection.billing_period.format"        = "yyyy-MM"
    "projection.billing_period.interval"      = "1"
    "projection.billing_period.interval.unit" = "MONTHS"
    # The bill names callers since April 2026.
    "projection.billing_period.range" = "2026-04,NOW"
    "storage.location.template"       = "${local.location}/BILLING_PERIOD=$${billing_period}/"
  }

  partition_keys {
    name = "billing_period"
    type = "string"
  }

  storage_descriptor {
    location      = "${local.location}/"
    input_format  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
    }

    dynamic "columns" {
      for_each = local.columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }
  }
}

resource "aws_athena_workgroup" "bill" {
  name          = var.export_name
  description   = "Queries of the bill of Bedrock by caller."
  force_destroy = true

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = false
    # 100 GB, about half a dollar. A query reads one month and few columns.
    bytes_scanned_cutoff_per_query = 100000000000

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location = "s3://${aws_s3_bucket.bill.bucket}/results/"

      encryption_configuration {
        encryption_option = "SSE_S3"
      }
    }
  }
}

resource "aws_athena_named_query" "bill" {
  for_each = local.queries

  name      = each.value
  workgroup = aws_athena_workgroup.bill.id
  database  = aws_glue_catalog_database.bill.name
  query = templatefile("${local.sources}/queries/${each.key}.sql", {
    Database        = aws_glue_catalog_database.bill.name
    Table           = aws_glue_catalog_table.bill.name
    InvocationRoles = join(",", var.invocation_roles)
    TagKey          = var.tag_key
  })
}
