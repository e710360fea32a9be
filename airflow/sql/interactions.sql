-- Your users' interactions, one row each. The rules for all three files are in users.sql.
--
-- `type` is one of 'click', 'view', 'favorite', 'purchase'.
--
-- `ts` is the time of the interaction:
--   * a time with its zone (timestamptz; TIMESTAMP of MySQL and MariaDB), which is used as it is;
--   * a time without one (timestamp, DATETIME, a date), which is in UTC, or in the zone of TIMEZONE;
--   * a number: Unix seconds. Milliseconds are divided by 1000 here. A date written as the number 20260131 is
--     converted here: to_date(…), STR_TO_DATE(…), strptime(…);
--   * a text in ISO 8601, such as '2026-01-31T08:00:00+08:00'.
-- Rows before 1970-01-02 or in the future are left out and reported.
--
-- `price` is optional: the paid price.

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
