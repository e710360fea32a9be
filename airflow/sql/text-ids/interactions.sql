-- What your users did, by the same ids as in users.sql and datasets.sql. The rest as in ../interactions.sql.

SELECT
  l.customer_code AS user_id,
  l.sku           AS dataset_id,
  'purchase'      AS type,
  l.ordered_at    AS ts
FROM order_lines AS l
