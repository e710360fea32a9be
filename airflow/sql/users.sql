-- Your users, for a shop whose ids are whole numbers. Copy the three files, put in your tables, and set
-- EXTRACTION_SQL to their folder. If you leave out a file, its table must already have our form.
--
-- Rules for each file:
--   * One SELECT, or WITH … SELECT. It runs inside another SELECT, in a read-only transaction.
--   * UTF-8, with a byte order mark or without. Comments and one semicolon at the end may stay.
--   * Keep the names after AS. Leave out columns that you don't have (except `id`).
--   * Text has to be of a text type: convert bytes, JSON and similar types here.

SELECT
  c.customer_id   AS id,            -- a whole number from 1 on; for other ids see text-ids/
  c.company       AS company_name,  -- optional, as all below; up to 200 characters
  c.province      AS province,
  c.city          AS city,
  c.registered_at AS created_at     -- a time; what kinds there are stands in interactions.sql
FROM customers AS c
