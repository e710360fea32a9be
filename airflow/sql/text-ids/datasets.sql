-- Your datasets, with text ids. The rules for ids are in users.sql, those for the columns in ../datasets.sql.

SELECT
  p.sku        AS id,
  p.name       AS title,
  p.labels     AS tags,
  p.list_price AS price,
  p.archived   AS is_deleted
FROM products AS p
