"""What must not be before anything is decided: whatever the scores say, one of these refuses the promotion."""

from tasks.core.files import read_json
from tasks.core.numbers import counted
from tasks.core.paths import Paths
from tasks.decide.comparisons import Comparison
from tasks.decide.evidence import Candidate

ALL_HOLD = (
    "every row is accounted for, no row with an error was trained on, all models were asked in the base's words, and "
    "merged answers unlike the base"
)
"""What the gates are, said where none failed."""

SAME = ("tuned", "quantised")
"""Kinds of candidates that are asked in the base's words; a system prompt and examples are other words on purpose."""


def failed_gates(paths: Paths, candidates: dict[str, Candidate], benchmarks: list[Comparison]) -> list[str]:
    """A sentence for each: rows lost, findings that are errors, other questions, a model that is not tuned."""
    return [*_before(paths), *_other_prompts(candidates, benchmarks), *_untuned(candidates)]


def _before(paths: Paths) -> list[str]:
    """What the stages clean and template left. Rows that left as the settings allow (a loss, a length, a filter, a
    sample) were asked to: more of them would have stopped the stage."""
    sentences = []
    ledger = read_json(paths.ledger, "clean")
    lost = ledger["in"] + ledger.get("repeated", 0) - sum(ledger["out"].values()) - sum(ledger["left"].values())
    if lost:
        sentences.append(f"clean lost {counted(lost, 'rows')} without a reason")
    for split, split_audit in read_json(paths.audit, "template").get("splits", {}).items():
        errors = split_audit["trained_errors"]
        sentences += [f"template, {split}: {counted(rows, 'rows')}: {check}" for check, rows in errors.items()]
    return sentences


def _other_prompts(candidates: dict[str, Candidate], benchmarks: list[Comparison]) -> list[str]:
    """Prompts that are not the base's, where both were asked; a comparison over them compares two things at once."""
    sentences = []
    prompts = candidates["base"].columns["prompt"]
    for name, candidate in candidates.items():
        pairs = zip(prompts, candidate.columns["prompt"], strict=True)
        other = sum(one != two for one, two in pairs if one is not None and two is not None)
        if other and candidate.scores["kind"] in SAME:
            sentences.append(
                f"{name} and base got different prompts for {other:,} of {counted(len(prompts), 'rows')}; evaluate "
                "both again"
            )
    tasks = sorted({benchmark["task"] for benchmark in benchmarks if not benchmark["same"]})
    return sentences + [
        f"the benchmark {task} used different prompts before and after tuning; evaluate both again" for task in tasks
    ]


def _untuned(candidates: dict[str, Candidate]) -> list[str]:
    base, merged = (candidates[name].columns for name in ("base", "merged"))
    if all(base[name] == merged[name] for name in ("output", *candidates["base"].better)):
        return ["merged gives the same answers as the base: it is not tuned, or the base was evaluated twice"]
    return []
