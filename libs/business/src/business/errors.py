"""The errors of a user's database; the caller decides about the consequence."""


class BusinessDatabaseError(Exception):
    """The business database could not be read."""


class UnusableUrlError(BusinessDatabaseError):
    """The URL can't be used; the message names the setting and the accepted forms. A retry doesn't help."""


class UserSqlError(BusinessDatabaseError):
    """The SQL, or its permissions, must be corrected; the message begins with the file. A retry doesn't help."""


class DatabaseUnavailableError(BusinessDatabaseError):
    """The database is unreachable, overloaded or shutting down, or took too long; try again later."""
