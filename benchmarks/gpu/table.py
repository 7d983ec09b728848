"""What was measured, as a table of Markdown for a person, beside the JSON that it is made from."""

import json
from pathlib import Path
from typing import Any

from benchmarks.gpu.steps import BARE

HEADER = (
    "step", "outcome", "seconds", "tokens a second", "of the bare loop", "taken", "estimated", "difference",
    "same bytes twice", "remark",
)  # fmt: skip


def write(file: Path, machine: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """Write the table to `file` and what it is made from beside it; return the table."""
    text = table(machine, lines)
    file.write_text(text)
    file.with_suffix(".json").write_text(json.dumps({"machine": machine, "steps": lines}, indent=2) + "\n")
    return text


def table(machine: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """`lines`: a dictionary a step, with its name, outcome and seconds, and what it measured."""
    rows = [HEADER, tuple("---" for _ in HEADER), *(_row(line, lines) for line in lines)]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("torch", "transformers", "trl", "peft", "bitsandbytes"))
    where = "The processor, in small: the numbers mean nothing."
    if machine["card"]:
        where = (
            f"{machine['card']}, {machine['memory'] / 2**30:.1f} GiB, compute capability {machine['capability']}, "
            f"CUDA {machine['cuda']}."
        )
    size = machine["size"]
    model = f"A random Llama {size['width']} wide with {size['layers']} layers; batches of {size['batch']}."
    head = f"# `python -m benchmarks gpu`\n\n{where} {model} {versions}.\n\n"
    note = (
        "Taken: the most that PyTorch had allocated on the card at one time (of the processor's memory, the process's "
        "peak); estimated: by the configuration and the settings alone (`temper check --card`), for the same.\n"
    )
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows) + f"\n{note}"


def _row(line: dict[str, Any], lines: list[dict[str, Any]]) -> tuple[str, ...]:
    speed, taken, estimated = line.get("tokens_a_second"), line.get("taken"), line.get("estimated")
    bare = next((other for other in lines if other["step"] == BARE.get(line["step"])), {}).get("tokens_a_second")
    same = line.get("same_bytes")
    verdict = "" if same is None else "yes" if same else f"no: {', '.join(line['different'])}"
    return (
        line["step"],
        line["outcome"],
        f"{line['seconds']:.0f}",
        f"{speed:,}" if speed else "",
        f"{speed / bare:.2f}" if speed and bare else "",
        _gib(taken),
        _gib(estimated),
        f"{estimated / taken - 1:+.0%}" if estimated and taken else "",
        verdict,
        str(line.get("remark", "")).replace("|", "\\|"),
    )


def _gib(size: int | None) -> str:
    return f"{size / 2**30:.2f} GiB" if size else ""
