"""An oracle from outside: dialogues with the prompts and token ids that mistral-common makes of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.template.rows import Templater
from tasks.template.settings import Settings
from tasks.template.tokenizer import load

DATA = Path(__file__).parents[4] / "shared" / "data"
SAMPLES = DATA / "mistral-samples"
TOLD = {"role": "assistant", "content": "Thank you."}

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="mistral's samples are not at ../shared/data")


def encoded_prompt(version: str, sample: str) -> tuple[Any, list[int], list[int]]:
    """The tokenizer, the ids of the sample's prompt by the stage, and those that are expected.

    The prompt is what stands before an answer in a row of the stage, each turn for itself as these templates need, for
    they move the tools to the last turn of the user.
    """
    template = DATA / "chat-templates" / "mistral-common" / f"{version}_spm.jinja"
    settings = Settings(chat_template=str(template), turns="apart")
    coder, _ = load(DATA / "tokenizers" / "mistral-v3", settings)
    conversation = json.loads((SAMPLES / sample / "sample.json").read_text())
    turns = [
        {
            "role": turn["role"],
            "content": turn.get("content") or "",
            "extra": json.dumps({key: turn[key] for key in turn if key not in ("role", "content")}),
        }
        for turn in [*conversation["messages"], TOLD]
    ]
    stage = Templater(coder, settings, {coder.eos_token_id}, 100_000, len(coder))
    (outcome,) = stage.outcomes(
        [{"id": sample, "messages": turns, "tools": json.dumps(conversation.get("tools") or [])}]
    )
    assert outcome.reason is None
    assert set(outcome.notes) <= {"history"}  # version 2 leaves out the calls of earlier exchanges
    last = outcome.sequences[-1]
    expected = json.loads((SAMPLES / sample / f"tokens_{version}.json").read_text())["tokens"]
    return coder, last.ids[: last.runs[-1][0]], expected


@pytest.mark.parametrize(("version", "sample"), [("v2", "no_tools"), ("v3", "no_tools"), ("v3", "parallel_calls")])
def test_the_ids_are_those_of_mistral_common(version: str, sample: str) -> None:
    _, ids, expected = encoded_prompt(version, sample)
    assert ids == expected


@pytest.mark.parametrize(
    ("version", "sample"), [("v2", "get_weather_full"), ("v3", "get_weather_full"), ("v2", "parallel_calls")]
)
def test_the_ids_beside_the_results_of_tools_are_those_of_mistral_common(version: str, sample: str) -> None:
    """mistral-common reads results of tools that are JSON, and joins those of parallel calls; its templates do not."""
    coder, ids, expected = encoded_prompt(version, sample)

    def beside(tokens: list[int]) -> list[list[int]]:
        """What stands before the first result, and behind the last one, of each run of results."""
        begin, end = coder.convert_tokens_to_ids(["[TOOL_RESULTS]", "[/TOOL_RESULTS]"])
        kept: list[list[int]] = [[]]
        inside = False
        for token in tokens:
            if token == begin and not inside:
                inside = True
                if kept[-1]:
                    kept.append([])
            elif token == end:
                inside = False
            elif not inside:
                kept[-1].append(token)
        return kept

    assert ids != expected
    assert beside(ids) == beside(expected)


def test_the_text_of_version_1_is_that_of_mistral_common() -> None:
    """Only the text: the ids are those of another tokenizer, in which [INST] is no control token."""
    coder, ids, _ = encoded_prompt("v1", "no_tools")
    expected = (SAMPLES / "no_tools" / "text_v1.txt").read_text().replace("▁", " ")
    assert "".join(coder.decode(ids).split()) == "".join(expected.split())
    conversation = json.loads((SAMPLES / "no_tools" / "sample.json").read_text())["messages"]
    assert Templater(coder, Settings(), {2}, 100, None).dialogue_renderer.prompt(conversation) == expected
