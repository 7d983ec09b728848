"""What of a run stands in Prefect's logs: what stages say, and of failures that were foreseen their sentence, once."""

import logging
import re

from tasks.core.errors import TemperError

ENDED_WELL = re.compile(r"Finished in state (Completed|Cached)\(")


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


class ResultFilter(logging.Filter):
    """For Prefect's loggers of tasks: that a task has ended well is on the page, and what came out its stage says."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record through that is not the end of a task that went well."""
        return record.levelno > logging.INFO or not ENDED_WELL.match(record.getMessage())


_filter, _results = TracebackFilter(), ResultFilter()


def log_failures_once() -> None:
    """From now on, in this process."""
    for name in ("prefect.flow_runs", "prefect.task_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(_filter)  # one that is there already is not added again


def log_results_alone() -> None:
    """From now on, in this process, that a stage has ended well is no line of its own."""
    logging.getLogger("prefect.task_runs").addFilter(_results)
