"""What the model answered while it was trained: how its answers to the same prompts changed, step by step."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from tasks.report.answers import diff_parts

SHOWN = 24
"""Lines of a table, at most; of more, those between the first and the last are thinned out evenly."""

SUMMARY = 100
"""Characters of a prompt's end that stand for it."""


@dataclass(frozen=True)
class Line:
    """An answer that stayed the same over some evaluations."""

    steps: str
    parts: tuple[str, str, str]
    """What it shares with the start of the reference, what differs, what it shares with the end."""
    right: bool
    """Whether it is the reference, blanks at its ends aside."""
    ended: bool


@dataclass(frozen=True)
class Prompt:
    """A fixed prompt and what became of its answer."""

    summary: str
    prompt: str
    reference: str
    lines: list[Line]


@dataclass(frozen=True)
class Watched:
    """What one stage noted."""

    stage: str
    prompts: list[Prompt]
    rewards: list[str]
    """Names of the rewards, in the order of the settings."""
    drawn: list[dict[str, Any]]
    """Answers that the training drew: step, prompt, answer, reference, values in the order of `rewards`, reward."""


def sections(samples: dict[str, dict[str, Any]]) -> list[Watched]:
    """What the page shows of `samples.json`, by stage."""
    return [_watched(stage, noted) for stage, noted in samples.items() if noted]


def _watched(stage: str, noted: dict[str, Any]) -> Watched:
    entries = noted["steps"]
    prompts = [
        Prompt(
            end_of(asked["prompt"]),
            asked["prompt"].strip("\n"),
            asked["reference"],
            _lines(asked["reference"], [(entry["step"], entry["samples"][at]) for entry in entries]),
        )
        for at, asked in enumerate(noted["prompts"])
    ]
    drawn = [(entry["step"], answer) for entry in entries for answer in entry.get("drawn", [])]
    names = list(drawn[0][1]["rewards"]) if drawn else []
    return Watched(
        stage,
        prompts,
        [name.partition("_")[2].replace("_", " ") for name in names],
        [
            {
                "step": step,
                "prompt": end_of(answer["prompt"]),
                "answer": answer["answer"],
                "reference": answer["reference"],
                "values": [answer["rewards"][name]["value"] for name in names],
                "reward": sum(each["value"] * each["weight"] for each in answer["rewards"].values()),
            }
            for step, answer in thinned(drawn)
        ],
    )


def _lines(reference: str, answers: list[tuple[int, dict[str, Any]]]) -> list[Line]:
    """`answers` by step, each a line for as long as it stays the same."""
    lines = []
    for _, group in groupby(answers, key=lambda each: (each[1]["text"], each[1]["ended"])):
        same = list(group)
        first, answer, last = same[0][0], same[0][1], same[-1][0]
        text = answer["text"]
        lines.append(
            Line(
                f"step {first:,}" if first == last else f"steps {first:,} to {last:,}",
                diff_parts(reference, text),
                text.strip() == reference.strip(),
                answer["ended"],
            )
        )
    return thinned(lines)


def end_of(prompt: str) -> str:
    """The end of a prompt on one line, which tells it from others: what comes first is often the same for all.

    >>> end_of("user\\nstart web\\nassistant\\n")
    'user start web assistant'
    """
    line = " ".join(prompt.split())
    return line if len(line) <= SUMMARY else f"…{line[-SUMMARY + 1 :]}"


def thinned(lines: list[Any]) -> list[Any]:
    """`SHOWN` of `lines` at most, the first and the last among them."""
    if len(lines) <= SHOWN:
        return lines
    return [lines[at * (len(lines) - 1) // (SHOWN - 1)] for at in range(SHOWN)]
