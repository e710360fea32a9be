-- Your users, for a shop whose ids are texts such as c2a1f0de-7c1b-4a52-9a51-1d3a0f5be0aa. The rules for all files
-- are in ../users.sql.
--
-- An id is 1 to 128 printable characters in Unicode's NFC form, without white space at its ends. It is used
-- literally: '007' and '7' are different, and so are 'sku-77' and 'SKU-77'. A text of digits without leading zero is that number.
-- Texts that look like a number that a program has changed ('1.0', '1e5', '1_000', '-7') are rejected.
--   PostgreSQL, DuckDB: a column of type uuid is used as it is; of type char(n), by trim(…)
--   MySQL, MariaDB: a UUID in BINARY(16) by BIN_TO_UUID(…), or LOWER(HEX(…)), the same way in all files
-- Callers use the text itself in requests; answers contain it as `external_id`.

SELECT
  c.customer_code AS id,
  c.company       AS company_name
FROM customers AS c
