"""What can go wrong with a user's database; who reads it decides what follows."""


class BusinessDatabaseError(Exception):
    """The business database could not be read."""


class UnusableUrlError(BusinessDatabaseError):
    """The URL can't be used as it is; the message names the setting and the accepted forms. A retry is useless."""


class UserSqlError(BusinessDatabaseError):
    """The SQL, or what it may touch, has to be corrected; the message begins with its file. A retry is useless."""


class DatabaseUnavailableError(BusinessDatabaseError):
    """The database is away, overloaded or shutting down, or took too long; try again later."""
