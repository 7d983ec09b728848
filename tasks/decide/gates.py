"""What must not be before anything is decided: whatever the scores say, a run with one of these is not promoted."""

from tasks.core.files import read_json
from tasks.core.paths import Paths
from tasks.decide.comparisons import Comparison
from tasks.decide.evidence import Candidate

SAME = ("tuned", "quantised")
"""Kinds of candidates that are asked in the base's words; a system prompt and examples are other words on purpose."""


def gates(paths: Paths, found: dict[str, Candidate], benchmarks: list[Comparison]) -> list[str]:
    """A sentence for each: rows lost, findings that are errors, other questions, a model that is not tuned."""
    return [*_before(paths), *_asked_otherwise(found, benchmarks), *_untuned(found)]


def _before(paths: Paths) -> list[str]:
    """What the stages clean and template left."""
    said = []
    ledger = read_json(paths.clean / "ledger.json", "clean")
    lost = ledger["in"] - sum(ledger["out"].values()) - sum(ledger["left"].values())
    if lost:
        said.append(f"clean lost {lost} rows without a reason")
    for split, told in read_json(paths.templated / "audit.json", "template").get("splits", {}).items():
        errors = [one for one in told["findings"] if one["severity"] == "error"]
        said += [f"template, {split}: {one['rows']} rows: {one['check']}" for one in errors]
    return said


def _asked_otherwise(found: dict[str, Candidate], benchmarks: list[Comparison]) -> list[str]:
    """Prompts that are not the base's, where both were asked; a comparison over them compares two things at once."""
    said = []
    prompts = found["base"].columns["prompt"]
    for name, candidate in found.items():
        pairs = zip(prompts, candidate.columns["prompt"], strict=True)
        other = sum(one != two for one, two in pairs if one is not None and two is not None)
        if other and candidate.scores["kind"] in SAME:
            said.append(
                f"{name} was asked {other} of {len(prompts)} rows in other words than base; evaluate both again"
            )
    tasks = sorted({told["task"] for told in benchmarks if not told["same"]})
    return said + [
        f"the benchmark {task} was asked in other words before tuning than after it; evaluate both again"
        for task in tasks
    ]


def _untuned(found: dict[str, Candidate]) -> list[str]:
    base, merged = (found[name].columns for name in ("base", "merged"))
    if all(base[name] == merged[name] for name in ("output", *found["base"].better)):
        return ["merged answers every row as the base does: it is not tuned, or the base was evaluated twice"]
    return []
