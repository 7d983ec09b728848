"""Runs as `temper compare` reads them, written by hand: no repository is needed to show them."""

from typing import Any

from flows.compare.runs import Run
from flows.compare.scores import from_comparison

EVIL = "</script><script>document.title='run'</script><img src=x onerror=document.title='run'>"
ROWS = 10


def score(value: float, better: str = "higher") -> dict[str, Any]:
    return {"value": value, "low": round(value - 0.1, 4), "high": round(value + 0.1, 4), "n": ROWS, "better": better}


def run(number: int, *, right: int, name: str = "", **settings: Any) -> Run:
    """A run with `right` of ten rows right; its base answers one."""
    promote, value = right > 3, right / ROWS
    decision = {
        "promote": promote,
        "reason": "every rule holds." if promote else f"merged against base: too little, {EVIL}.",
        "candidate": "merged",
        "metric": "exact_match",
        **{key: score(value)[key] for key in ("value", "low", "high", "n")},
        "gain": value - 0.1,
        "p": 0.01,
        "rules": {"gain over base": {"passed": promote, "says": "x"}, "gates": {"passed": True, "says": "y"}},
    }
    comparison = {
        "candidates": {"base": {"exact_match": score(0.1)}, "merged": {"exact_match": score(value)}},
        "benchmarks": {name: {"arc": {"acc": score(0.5)}} for name in ("base", "merged")},
    }
    return Run(
        name or f"run-{number}",
        f"{number:040x}",
        who="ann",
        when=f"2026-01-{number:02}T10:00:00+00:00",
        decision=decision,
        settings={"train.learning_rate": 1e-3, "machine.price": 2.0, **settings},
        scores=from_comparison(comparison),
        outs={"clean": {"data/clean/test.parquet": "ab" * 16}},
        changed=[f"train.lora.r 4 -> {settings.get('train.lora.r')}"],
        seconds={"train": 60.0 * number, "merge": 1.0},
    )


def answers(right: int) -> dict[str, Any]:
    """What was answered: the first rows right."""
    numbers = range(ROWS)
    return {
        "ids": [f"row{number}" for number in numbers],
        "prompts": [f"say {number}" for number in numbers],
        "references": [f"word {number}" for number in numbers],
        "outputs": [f"word {number}" if number < right else f"{EVIL} {number}" for number in numbers],
        "scores": {"exact_match": [float(number < right) for number in numbers]},
    }
