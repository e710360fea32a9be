-- Your users, for a shop whose ids are whole numbers. Copy the three files, put in your tables, and set
-- EXTRACTION_SQL to their folder. A file that you leave out means: that table is there in our form already.
--
-- Rules for each file:
--   * One SELECT, or WITH … SELECT. It is run inside of another SELECT, in a transaction that can't write.
--   * UTF-8, with a byte order mark or without. Comments and one semicolon at the end may stay.
--   * The names after AS are ours and have to stay. Columns that you don't have are left out (but for `id`).
--   * Text is wanted as text: convert bytes, JSON and the like here.

SELECT
  c.customer_id   AS id,            -- a whole number from 1 on; for other ids see text-ids/
  c.company       AS company_name,  -- optional, as all below; up to 200 characters
  c.province      AS province,
  c.city          AS city,
  c.registered_at AS created_at     -- a time; what kinds there are stands in interactions.sql
FROM customers AS c
