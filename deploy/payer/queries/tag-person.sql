-- What each caller has cost this month, for each value of one session tag that the caller had.
SELECT
  coalesce(nullif(element_at(tags, 'iamPrincipal/${TagKey}'), ''), '(no tag)') AS tag_value,
  regexp_extract(line_item_iam_principal, '[^/]+$') AS person,
  sum(line_item_unblended_cost) AS cost,
  sum(coalesce(line_item_net_unblended_cost, line_item_unblended_cost)) AS net_cost,
  line_item_currency_code AS currency,
  max(line_item_usage_end_date) AS last_usage
FROM "${Database}"."${Table}"
WHERE billing_period = substr(cast(current_date AS varchar), 1, 7)
  AND (
    (bill_billing_entity = 'AWS' AND line_item_product_code IN
      ('AmazonBedrock', 'AmazonBedrockService', 'AmazonBedrockFoundationModels', 'AmazonBedrockAgentCore'))
    OR (bill_billing_entity = 'AWS Marketplace' AND element_at(product, 'product_name') LIKE '%Bedrock%')
  )
  AND strpos(
    ',${InvocationRoles},',
    ',' || regexp_extract(line_item_iam_principal, ':assumed-role/([^/]+)/', 1) || ','
  ) > 0
GROUP BY 1, 2, line_item_currency_code
ORDER BY cost DESC
