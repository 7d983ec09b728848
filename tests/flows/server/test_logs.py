"""What Prefect logs of a failure: a sentence, once, where it was foreseen; a traceback where it was not."""

import logging
from collections.abc import Iterator

import pytest

from flows.server.logs import TracebackFilter
from tasks.core.errors import StageFailed


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[logging.Logger]:
    log, once = logging.getLogger("foreseen"), TracebackFilter()
    log.addFilter(once)
    yield log
    log.removeFilter(once)


def fail(log: logging.Logger, error: Exception, words: str = "Engine execution exited with %s") -> None:
    try:
        raise error
    except Exception:
        log.error(words, "an exception", exc_info=True)


def test_a_foreseen_failure_is_told_once_and_in_its_own_words(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    error = StageFailed("merge: the base is another one; run: temper run merge. 100 %s")
    log.error("%s", error, exc_info=error)
    fail(log, error)
    fail(log, error, "Execution of flow run 7 exited with %s")
    assert caplog.messages == [str(error)]
    assert "Traceback" not in caplog.text
    fail(log, StageFailed("train: the loss is no number."))
    assert caplog.messages[1:] == ["train: the loss is no number."]


def test_one_that_was_not_foreseen_keeps_its_traceback(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    fail(log, KeyError("x"))
    fail(log, KeyError("x"))
    assert caplog.text.count("Traceback") == 2
    assert caplog.messages == ["Engine execution exited with an exception"] * 2


def test_a_state_without_an_exception_has_no_none(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    log.error("Task run failed", exc_info=(None, None, None))
    assert caplog.messages == ["Task run failed"]
    assert "None" not in caplog.text
