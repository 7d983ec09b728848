"""Bad inputs end in a sentence, within bounds of time and memory: a few here, many in the long tier.

By hand, with other seeds: `python -m tests.hostile models --seed 7 --drawn 500`.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.flows.project import ROOT
from tests.hostile.__main__ import KINDS

SAMPLES = {("chats", "rows", "documents"): 0.05, ("models",): 0.03}
"""Kinds that are tried here in one process, and the share of their fixed inputs; others take too long to prepare."""

DRAWN, MANY = 3, 250


def ended(*words: str) -> dict[str, float]:
    """What came of the inputs of these kinds; shows those that did not end as promised."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.hostile", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    counts: dict[str, float] = json.loads(done.stdout.strip().split("\n")[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    return counts


@pytest.mark.parametrize(
    "kinds",
    [pytest.param(kinds, marks=pytest.mark.long if "models" in kinds else ()) for kinds in SAMPLES],
    ids=" ".join,
)
def test_some_bad_inputs_end_in_a_sentence(kinds: tuple[str, ...]) -> None:
    counts = ended(*kinds, "--seed", "1", "--drawn", str(DRAWN), "--fixed", str(SAMPLES[kinds]), "--light")
    assert counts["inputs"] > DRAWN * len(kinds)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_many_bad_inputs_end_in_a_sentence(kind: str) -> None:
    assert ended(kind, "--seed", "2", "--drawn", str(MANY))["inputs"] > MANY
