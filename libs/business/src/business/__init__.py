"""The business database: the canonical tables, and read-only access to a user's own database."""

from business.csv_rows import CsvColumn, CsvRows, Form
from business.database import BusinessDatabase, RowBatches, Timeouts
from business.errors import BusinessDatabaseError, DatabaseUnavailableError, UnusableUrlError, UserSqlError
from business.opening import open_business_database
from business.statements import Statement, canonical, statements
from business.values import parse_flag, parse_row_id, text_of_id

__all__ = [
    "BusinessDatabase",
    "BusinessDatabaseError",
    "CsvColumn",
    "CsvRows",
    "DatabaseUnavailableError",
    "Form",
    "RowBatches",
    "Statement",
    "Timeouts",
    "UnusableUrlError",
    "UserSqlError",
    "canonical",
    "open_business_database",
    "parse_flag",
    "parse_row_id",
    "statements",
    "text_of_id",
]
