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

SAMPLES = {"models": 0.03, "chats": 0.03, "rows": 0.05, "documents": 0.06}
"""Share of the fixed inputs that are tried here, by kind; the others take too long to prepare."""

DRAWN, MANY = 3, 250


def ended(kind: str, *options: str) -> dict[str, float]:
    """What came of the inputs of a kind; shows those that did not end as promised."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.hostile", kind, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    counts: dict[str, float] = json.loads(done.stdout.strip().split("\n")[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    return counts


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.long if kind == "models" else ()) for kind in SAMPLES]
)
def test_some_bad_inputs_end_in_a_sentence(kind: str) -> None:
    counts = ended(kind, "--seed", "1", "--drawn", str(DRAWN), "--fixed", str(SAMPLES[kind]), "--light")
    assert counts["inputs"] > DRAWN


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_many_bad_inputs_end_in_a_sentence(kind: str) -> None:
    assert ended(kind, "--seed", "2", "--drawn", str(MANY))["inputs"] > MANY
