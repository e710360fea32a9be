-- What your users did, one row for each thing done. The rules for all three files stand in users.sql.
--
-- `type` is one of 'click', 'view', 'favorite', 'purchase'.
--
-- `ts` is when it happened:
--   * a time with its zone (timestamptz; TIMESTAMP of MySQL and MariaDB), which is taken as it is;
--   * a time without one (timestamp, DATETIME, a date), which is UTC, or of the zone that TIMEZONE names;
--   * a number: Unix seconds. Milliseconds are divided by 1000 here. A date written as the number 20260131 is
--     converted here: to_date(…), STR_TO_DATE(…), strptime(…);
--   * a text in ISO 8601, such as '2026-01-31T08:00:00+08:00'.
-- Rows of before 1970-01-02 and of the future are left out, and reported.
--
-- `price` is optional: what was paid.

SELECT
  l.customer_id AS user_id,
  l.product_id  AS dataset_id,
  'purchase'    AS type,
  l.unit_price  AS price,
  l.ordered_at  AS ts
FROM order_lines AS l

UNION ALL

SELECT
  v.customer_id,
  v.product_id,
  'view',
  NULL,
  v.viewed_at
FROM page_views AS v
