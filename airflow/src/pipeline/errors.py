"""The errors of the pipeline; the command line prints the message and maps it to an exit code."""


class PipelineError(Exception):
    """The run can't continue; the message says what to do."""

    exit_code = 1


class InputError(PipelineError):
    """The user's input can't be used; correct it and start again."""

    exit_code = 2


class DataError(PipelineError):
    """The business data fails a critical check; correct it at its source: a retry would fail in the same way."""


class EngineError(PipelineError):
    """The engine of the relational queries can't answer; repeat the step when its cluster is available."""


class EarlierReleaseError(PipelineError):
    """A step's results are those of an earlier release; repeat the step that the message names."""


class NoTablesError(InputError):
    """The business database has none of the tables: fill it, or map your own tables."""


class NothingToDoError(PipelineError):
    """The run ends here and leaves everything as it is: not a failure; the message says why."""

    exit_code = 0


class NothingToTrainError(NothingToDoError):
    """The business database is empty, as before the first import."""


class NothingToRefreshError(NothingToDoError):
    """No model is in service that the run could refresh, or nothing has changed since it was made."""


class OvertakenError(NothingToDoError):
    """Another model came into service during the run; the next refresh is one of that model."""
