-- Your users, for a shop whose ids are texts such as c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa. The rules for all files
-- stand in ../users.sql.
--
-- An id is 1 to 128 printable characters in Unicode's NFC form, without white space at its ends. It is taken to the
-- letter: '007' and '7' are two, 'sku-77' and 'SKU-77' too. A text of digits without leading zero is that number.
-- Texts that look like a number that a program has changed ('1.0', '1e5', '1_000', '-7') are refused.
--   PostgreSQL, DuckDB: a column of type uuid is taken as it is; of type char(n), by trim(…)
--   MySQL, MariaDB: a UUID in BINARY(16) by BIN_TO_UUID(…), or LOWER(HEX(…)), the same way in all files
-- Callers use the text itself in requests, and find it as `external_id` in answers.

SELECT
  c.customer_code AS id,
  c.company       AS company_name
FROM customers AS c
