"""Bounds on time and memory: what is within them passes, what is not is refused in the words of the caller."""

import os
import re
import resource
import threading
import time
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.bounds.child import in_child
from tasks.bounds.limits import Bounds, Deadline
from tasks.bounds.patterns import check_names, searcher, usable, usable_for_names
from tasks.core.errors import InputError
from tasks.train.settings import Settings

MEBIBYTE = 2**20


def refuse(why: str) -> InputError:
    return InputError(f"the file: {why}.")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth of a second for a pattern: what would search for ever does not end in one second either."""
    monkeypatch.setattr("tasks.bounds.patterns.TRIED", 0.05)


def spin() -> None:
    while True:
        pass


def test_work_within_the_bounds_passes_and_leaves_no_alarm() -> None:
    with Bounds(0.1, refuse):
        text = "a" * MEBIBYTE
    start = time.process_time()
    while time.process_time() - start < 0.2:
        pass
    assert len(text) == MEBIBYTE


def test_a_loop_is_ended() -> None:
    with pytest.raises(InputError, match=r"^the file: it takes more than 0\.1 seconds of CPU time\.$"):
        loop()


def loop() -> None:
    with Bounds(0.1, refuse):
        spin()


def test_the_work_of_the_system_counts() -> None:
    buffer, zeros = bytearray(2**28), os.open("/dev/zero", os.O_RDONLY)
    try:
        with pytest.raises(InputError, match="seconds of CPU time"), Bounds(0.1, refuse):
            for _ in range(100):
                os.readv(zeros, [buffer])
    finally:
        os.close(zeros)


def test_no_except_of_a_library_stops_the_end_of_a_loop() -> None:
    with pytest.raises(InputError, match="seconds of CPU time"), Bounds(0.1, refuse):
        try:
            spin()
        except Exception:
            pytest.fail("a library would go on")


@pytest.mark.parametrize("after", ["pass", "raise KeyError"])
def test_work_that_catches_its_own_end_is_refused_all_the_same(after: str) -> None:
    """Else what it returns would depend on how far it came, and so on the clock."""
    source = f"try:\n    spin()\nexcept BaseException:\n    {after}"
    with pytest.raises(InputError, match="seconds of CPU time"), Bounds(0.1, refuse):
        exec(source, {"spin": spin})


def test_work_that_tries_again_after_any_error_is_interrupted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.bounds.limits.AGAIN", 0.1)
    source = "while True:\n    try:\n        time.sleep(30)\n    except BaseException:\n        time.sleep(30)"
    with pytest.raises(InputError, match=r"more than 0\.1 seconds"), Deadline(0.1, refuse):
        with pytest.raises(InputError, match=r"more than 0\.05 seconds"), Deadline(0.05, refuse):
            exec(source, {"time": time})
        exec(source, {"time": time})


def test_bounds_that_ring_leave_those_around_them_alone() -> None:
    with Deadline(30.0, refuse), pytest.raises(InputError, match=r"more than 0\.05 seconds"), Deadline(0.05, refuse):
        time.sleep(30)


def test_memory_is_refused_and_then_there_again() -> None:
    sentence = r"^the file: it takes more than 0\.125 GiB of memory\.$"
    with pytest.raises(InputError, match=sentence), Bounds(5.0, refuse, 2**27):
        bytearray(2**28)
    assert len(bytearray(2**28)) == 2**28
    with Bounds(5.0, refuse, None):
        assert len(bytearray(2**28)) == 2**28
    with pytest.raises(MemoryError), Bounds(5.0, refuse, None):
        raise MemoryError


def test_bounds_within_bounds_count_together() -> None:
    with pytest.raises(InputError, match=r"more than 0\.3 seconds"), Bounds(0.3, refuse):
        for _ in range(100):
            with Bounds(5.0, refuse):
                end = time.process_time() + 0.02
                while time.process_time() < end:
                    pass


def test_a_child_returns_what_its_work_returns() -> None:
    assert in_child(lambda: {"pages": (1, 2)}, 5.0, refuse) == {"pages": (1, 2)}


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (spin, r"the file: it takes more than 0\.5 seconds of CPU time\."),
        (lambda: bytearray(2**34), r"the file: it takes more than 1 GiB of memory\."),
        (os.abort, r"the file: the library that reads it crashes \(SIGABRT\)\."),
        (lambda: 1 // 0, r"the file: ZeroDivisionError: integer division or modulo by zero\."),
        (lambda: os._exit(3), r"the file: the library that reads it crashes \(exit code 3\)\."),
    ],
)
def test_a_child_that_does_not_end_well_is_a_sentence(work: object, sentence: str) -> None:
    assert callable(work)
    with pytest.raises(InputError, match=f"^{sentence}$"):
        in_child(work, 0.5, refuse)


def test_an_error_of_the_work_itself_comes_back() -> None:
    def work() -> None:
        raise InputError("line 3 is wrong.")

    with pytest.raises(InputError, match=r"^line 3 is wrong\.$"):
        in_child(work, 5.0, refuse)


@pytest.mark.parametrize(
    "pattern", [r"#### (-?\d+)", r"^\s*(yes|no)\b", r".*\.(q|k|v)_proj", r".*foo.*bar", "all-linear"]
)
def test_patterns_in_use_are_usable(pattern: str) -> None:
    assert usable(pattern) == pattern


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(.*)*(.*)*x$", r"(\w+\s?)*!", "(foo|foo)*x", "(x+x+)+y", r"^(\d+\.?)+$"]
)
@pytest.mark.usefixtures("soon")
def test_patterns_that_would_search_for_ever_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"it takes more than 0\.05 second to search"):
        usable(pattern)


def test_no_pattern_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="it is not a regular expression"):
        usable("(")


def test_a_search_that_takes_too_long_names_key_and_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.bounds.patterns.SEARCHED", 0.1)
    search = searcher("(b+)+$", "align.rewards.0.pattern", re.MULTILINE)
    assert search("abb") is not None
    with pytest.raises(
        InputError, match=r"^align\.rewards\.0\.pattern = '\(b\+\)\+\$': it takes more than 0\.1 seconds"
    ):
        search("b" * 60 + "!")


@pytest.mark.parametrize(
    "expression",
    ["q_proj", r".*\.(q|v)_proj", r".*\..*\.(q|v)_proj", r"^(?!.*visual).*(?:q_proj|k_proj)$", r"(?:[^.]+\.)*q_proj"],
)
def test_patterns_for_names_of_layers_that_are_in_use_pass(expression: str) -> None:
    assert usable_for_names(expression) == expression


def test_a_pattern_has_a_second() -> None:
    with pytest.raises(ValueError, match="takes more than 1 second"):
        usable_for_names("(a+)+")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("expression", ["(a+)+", "(a|a)*", r"(\w+\s?)*!", "(.*)*(.*)*x$"])
def test_a_pattern_for_names_is_tried_as_it_is_used(expression: str) -> None:
    """Of a text that it has to match whole `(a+)+` goes through every part; searching, it takes the first."""
    with pytest.raises(ValueError, match=r"takes more than 0\.05 second"):
        usable_for_names(expression)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"target_modules": "(a+)+x"}, "target_modules: '"),
        ({"exclude_modules": "(a+)+x"}, "exclude_modules: '"),
        ({"feedforward_modules": "(a+)+x"}, "feedforward_modules: '"),
        ({"target_modules_bd_a": "(a+)+x"}, "target_modules_bd_a: '"),
        ({"modules_to_save": ["lm_head", "(a+)+x"]}, "modules_to_save: '"),
        ({"layers_pattern": "(a+)+x"}, "layers_pattern: '"),
        ({"layers_pattern": ["layers", "(a+)+x"]}, "layers_pattern: '"),
        ({"rank_pattern": {"q_proj": 2, "(a+)+x": 3}}, "rank_pattern: '"),
        ({"alpha_pattern": {"(a+)+x": 3}}, "alpha_pattern: '"),
        ({"n_frequency_pattern": {"(a+)+x": 3}}, "n_frequency_pattern: '"),
        ({"rank_pattern": {"(": 3}}, "rank_pattern: '"),
    ],
)
def test_every_field_of_peft_that_holds_patterns_is_looked_at(fields: dict[str, Any], where: str) -> None:
    check_names({"target_modules": ["(a+)+x"], "r": 4, "rank_pattern": {"q_proj": 2}, "bias": "(a+)+x"})
    with pytest.raises(ValueError, match=where):
        check_names(fields)
    if "bd_a" not in str(fields):
        with pytest.raises(ValidationError, match=where):
            Settings.model_validate({"method": "lora" if "target_modules" not in fields else "vera", "peft": fields})


def test_a_deadline_counts_what_passes_while_nothing_is_computed() -> None:
    with pytest.raises(InputError, match=r"it takes more than 0\.05 seconds\."), Deadline(0.05, refuse):
        threading.Event().wait(30)
    with Bounds(60, refuse), pytest.raises(InputError, match=r"more than 0\.05 seconds\."), Deadline(0.05, refuse):
        spin()


@pytest.mark.parametrize("seconds", [9, 4])
def test_narrower_limits_of_the_machine_stay(seconds: int) -> None:
    """As `ulimit -t` and the queues of clusters set them. A process cannot raise such a limit again."""

    def limits() -> tuple[int, int]:
        return resource.getrlimit(resource.RLIMIT_CPU)

    def narrowed() -> tuple[int, int]:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        return in_child(limits, 5.0, refuse)

    assert in_child(narrowed, 100.0, refuse) == (min(seconds, 6), seconds)
