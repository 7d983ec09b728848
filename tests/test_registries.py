"""Metrics, rewards, objectives and schemes are each written once; what lists them by hand lists all of them."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.align.objectives import OBJECTIVES
from tasks.align.rewards import REWARDS
from tasks.align.settings import Reward
from tasks.align.settings import Settings as Align
from tasks.evaluate.metrics.registry import METRICS
from tasks.evaluate.settings import Metric
from tasks.named.choices import Described
from tasks.quantize.schemes import SCHEMES
from tests.flows.project import ROOT


@pytest.mark.parametrize(
    ("model", "key", "entries"),
    [(Metric, "kind", METRICS), (Reward, "kind", REWARDS), (Align, "objective", OBJECTIVES)],
)
def test_settings_and_their_schema_know_the_entries_and_no_other(
    model: Any, key: str, entries: dict[str, Described]
) -> None:
    schema = model.model_json_schema()["properties"][key]
    assert schema["enum"] == list(entries)
    assert schema["enumDescriptions"] == [entry.about for entry in entries.values()]
    assert all(f"`{name}`: {entry.about}" in schema["description"] for name, entry in entries.items())
    *_, name = entries
    with pytest.raises(ValidationError, match=rf"unknown \w+; did you mean '{name}'\?"):
        model.model_validate({key: f"{name}s"})
    with pytest.raises(ValidationError, match=rf"unknown \w+; known: .*{name}"):
        model.model_validate({key: "zzz"})


@pytest.mark.parametrize("entries", [METRICS, REWARDS])
def test_a_key_is_given_to_who_needs_it_and_to_nobody_else(entries: dict[str, Any]) -> None:
    model = Metric if entries is METRICS else Reward
    keys = {key for entry in entries.values() for key in entry.needs}
    for name, entry in entries.items():
        right = {"kind": name, **dict.fromkeys(entry.needs, "file.py:name")}
        model.model_validate(right)
        for key in keys:
            message = f"needs the key {key}" if key in entry.needs else f"{key} is for .*{key} has no effect on {name}"
            with pytest.raises(ValidationError, match=message):
                model.model_validate({**right, key: None if key in entry.needs else "file.py:name"})


def test_the_page_of_keys_names_each_metric_objective_and_reward() -> None:
    text = (ROOT / "docs/params.md").read_text()
    for name in [*METRICS, *OBJECTIVES, *REWARDS]:
        assert re.search(rf"\b{name}\b", text), f"docs/params.md names no {name}"


def test_the_page_of_schemes_has_a_line_for_each() -> None:
    table = (ROOT / "docs/support.md").read_text().partition("## Schemes of `quantize`")[2].partition("\n\n")[2]
    cells = [line.split("|")[1].strip() for line in table.partition("\n\n")[0].splitlines()[2:]]
    listed = set()
    for cell in cells:
        names = cell.split(", ")
        family = names[0].partition("-")[0] if "-" in names[0] else ""
        listed |= {name if "-" in name or not family else f"{family}-{name}" for name in names}
    assert listed - {"gptq-fp8"} | {"fp8"} == set(SCHEMES)
