-- Your datasets, one row each. The rules for all three files are in users.sql.

SELECT
  p.product_id AS id,           -- a whole number from 1 on; for other ids see text-ids/
  p.name       AS title,        -- required; up to 500 characters
  p.summary    AS description,  -- optional, as all below; up to 20,000 characters
  p.labels     AS tags,         -- separated by ; such as 'traffic;bus'. Each up to 64 characters, up to 100
                                --   PostgreSQL: array_to_string(p.labels, ';'), or string_agg over a table of tags
                                --   MySQL, MariaDB: GROUP_CONCAT(t.label SEPARATOR ';')
  p.list_price AS price,        -- a number from 0 on, without currency; NULL counts as 0
  p.vendor     AS provider,     -- up to 200 characters
  p.picture    AS cover_image,  -- a URL of up to 2,048 characters
  p.listed_at  AS created_at,
  p.changed_at AS updated_at,
  p.archived   AS is_deleted    -- true or 1: not recommended any more. Keep such rows here, don't filter them out
FROM products AS p
