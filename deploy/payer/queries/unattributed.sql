-- What Bedrock has cost this month without the gateway: calls of other principals, and rows without one (taxes, credits,
-- support). Together with person.sql it is the whole bill of Bedrock.
SELECT
  coalesce(nullif(line_item_iam_principal, ''), '(no principal)') AS principal,
  line_item_usage_account_id AS account,
  line_item_line_item_type AS type,
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
  AND coalesce(strpos(
    ',${InvocationRoles},',
    ',' || regexp_extract(line_item_iam_principal, ':assumed-role/([^/]+)/', 1) || ','
  ), 0) = 0
GROUP BY 1, 2, 3, line_item_currency_code
ORDER BY cost DESC
