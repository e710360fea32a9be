"""What can go wrong in the pipeline; the command line prints the message and maps it to an exit code."""


class PipelineError(Exception):
    """The run cannot go on; the message says what to do."""

    exit_code = 1


class InputError(PipelineError):
    """What the user handed over can't be used; correct it and start again."""

    exit_code = 2


class DataError(PipelineError):
    """The business data fails a critical check; correct it at its source, a retry would see the same."""


class NoTablesError(InputError):
    """The business database has none of the tables: fill it, or map tables of your own."""


class NothingToTrainError(PipelineError):
    """The business database is empty, as it is before the first import: no failure, and nothing to be done by a run."""

    exit_code = 0
