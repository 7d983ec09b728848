"""What Prefect logs of a failure: a sentence, once, where it was foreseen; a traceback where it was not."""

import logging
from collections.abc import Iterator

import pytest

from flows.server.logs import ResultFilter, TracebackFilter
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
    fail(log, StageFailed("train: the loss is not a number."))
    assert caplog.messages[1:] == ["train: the loss is not a number."]


def test_one_that_was_not_foreseen_keeps_its_traceback(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    fail(log, KeyError("x"))
    fail(log, KeyError("x"))
    assert caplog.text.count("Traceback") == 2
    assert caplog.messages == ["Engine execution exited with an exception"] * 2


def test_a_state_without_an_exception_has_no_none(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    log.error("Task run failed", exc_info=(None, None, None))
    assert caplog.messages == ["Task run failed"]
    assert "None" not in caplog.text


def test_that_a_stage_has_ended_well_is_no_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    log, results = logging.getLogger("stages"), ResultFilter()
    log.addFilter(results)
    log.setLevel(logging.INFO)
    log.info("Finished in state %s", "Completed('ran in 30 s')")
    log.info("Finished in state Cached('dvc.lock holds', type=COMPLETED)")
    log.info("merge: 33,440 parameters, largest logit difference 2.6e-7")
    log.error("Finished in state Failed('merge: the disk is full.')")
    log.removeFilter(results)
    assert caplog.messages == [
        "merge: 33,440 parameters, largest logit difference 2.6e-7",
        "Finished in state Failed('merge: the disk is full.')",
    ]
