"""The errors of the pipeline; the command line prints the message and maps it to an exit code."""


class PipelineError(Exception):
    """The run can't continue; the message says what to do."""

    exit_code = 1


class InputError(PipelineError):
    """The user's input can't be used; correct it and start again."""

    exit_code = 2


class DataError(PipelineError):
    """The business data fails a critical check; correct it at its source: a retry would fail in the same way."""


class NoTablesError(InputError):
    """The business database has none of the tables: fill it, or map your own tables."""


class NothingToTrainError(PipelineError):
    """The business database is empty, as before the first import: not a failure, and a run has nothing to do."""

    exit_code = 0
