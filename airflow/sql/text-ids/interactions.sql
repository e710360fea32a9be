-- Your users' interactions, with the ids of users.sql and datasets.sql. The rest is as in ../interactions.sql.

SELECT
  l.customer_code AS user_id,
  l.sku           AS dataset_id,
  'purchase'      AS type,
  l.ordered_at    AS ts
FROM order_lines AS l
