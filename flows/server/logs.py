"""Failures that were foreseen, in Prefect's logs: their sentence, once, where Prefect writes a traceback each time."""

import logging

from tasks.core.errors import TemperError


class TracebackFilter(logging.Filter):
    """For Prefect's own loggers. What was not foreseen keeps its traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._last_error: BaseException | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record through, without what Prefect adds to a sentence; not one that was told already."""
        if not record.exc_info:
            return True
        error = record.exc_info[1]
        if error is None:  # of a state that somebody returned; it would be written as "NoneType: None"
            record.exc_info = None
        if not isinstance(error, TemperError):
            return True
        previous, self._last_error = self._last_error, error
        record.msg, record.args, record.exc_info = str(error), (), None
        return error is not previous


_filter = TracebackFilter()


def log_failures_once() -> None:
    """From now on, in this process."""
    for name in ("prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(_filter)  # one that is there already is not added again
