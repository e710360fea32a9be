-- Datasets that must not be shown any more, by text id. feature-sync runs this every minute: keep the query light.

SELECT p.sku AS id
FROM products AS p
WHERE p.archived = 1  -- PostgreSQL, where the column is a boolean: WHERE p.archived
