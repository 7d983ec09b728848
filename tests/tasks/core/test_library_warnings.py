"""Warnings of libraries reach the reader, once each; what is harmless, and what is less than a warning, does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.template.settings import Settings
from tasks.template.tokenizer import load
from tests.flows.project import ROOT
from tests.tasks import tiny

SCRIPT = """
import logging, sys
from tasks.core.library_warnings import tell_warnings
tell_warnings()
log = logging.getLogger("transformers.tokenization_utils_tokenizers")
log.warning("tokens will be\\nwrong: %s", "x")
log.warning("tokens will be wrong: x")
log.warning("Setting `pad_token_id` to `eos_token_id`:2 for open-end generation.")
log.info("loading")
logging.getLogger("mine").warning("mine")
"""


def python(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_warning_is_told_once(tmp_path: Path) -> None:
    done = python("-c", SCRIPT, folder=tmp_path)
    assert done.stdout == "transformers warns: tokens will be wrong: x\n"
    assert done.stderr == "mine\n"


def large_tokenizer(folder: Path, *controls: str) -> None:
    """A Mistral's folder with a tokenizer of more than 100,000 tokens, which splits words by the regex of another."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(f"w{number}" for number in range(100_000))]
    backend = Tokenizer(models.BPE(vocab={name: number for number, name in enumerate(names)}, merges=[]))
    split = pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}{1,3}|[^\p{L}\p{N}]+"), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|pad|>",
        extra_special_tokens=["<|im_start|>", *controls],
    )  # fmt: skip
    tokenizer.chat_template = tiny.CHATML
    tokenizer.save_pretrained(folder)
    config = {"model_type": "mistral", "transformers_version": "4.57.1", "max_position_embeddings": 256}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("controls", "checks"), [pytest.param((), [], marks=pytest.mark.long), (("[INST]",), ["mistral_regex"])]
)
def test_what_transformers_warns_of_a_tokenizer_is_told_and_made_right(
    controls: tuple[str, ...], checks: list[str], tmp_path: Path
) -> None:
    large_tokenizer(tmp_path / "tok", *controls)
    row = {"messages": [{"role": "user", "content": "1234"}, {"role": "assistant", "content": "b"}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    done = python("-m", "tasks.audit", "rows.jsonl", "--tokenizer", "tok", "--json", folder=tmp_path)
    assert [finding["check"] for finding in json.loads(done.stdout)["findings"]] == checks
    assert done.stderr.startswith("transformers warns: The tokenizer you are loading from 'tok'")
    assert "incorrect regex pattern" in done.stderr and done.stderr.count("\n") == 1


def test_a_regex_that_was_made_right_stays_so(tmp_path: Path) -> None:
    large_tokenizer(tmp_path / "tok", "[INST]")
    tokenizer, notes = load(tmp_path / "tok", Settings())
    assert "mistral_regex" in notes
    tokenizer.save_pretrained(tmp_path / "saved")
    split = json.loads((tmp_path / "saved" / "tokenizer.json").read_text())["pre_tokenizer"]["pretokenizers"][0]
    assert "\\p{N}|" in json.dumps(split) and "{1,3}" not in json.dumps(split)  # digits one by one
    assert "mistral_regex" not in load(tmp_path / "saved", Settings())[1]


def test_the_regex_of_another_family_is_right_as_it_is(tmp_path: Path) -> None:
    large_tokenizer(tmp_path / "tok")
    assert "mistral_regex" not in load(tmp_path / "tok", Settings())[1]
