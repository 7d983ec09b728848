"""A text that is encoded piece by piece has the ids that the tokenizer gives it as a whole."""

from contextlib import nullcontext
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tasks.template.offsets import TokenBytes
from tasks.template.pieces import WORDS, PieceEncoder

GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = ("a", "Zed", "{", "}", "/", "'s", "12", "1234", "-", "é", "e\u0301", "學", "👩", '{"a": 1}', "# ")
_SPACES = ("\n", "\n\n", "\r\n", "\r", " ", "\t", "\u2028")
TEXTS = st.lists(st.sampled_from(("<|end|>", "<|end", "|>", "<|e|>", "<tool>", *_SPACES, *_WORDS)), max_size=14).map(
    "".join
)


@cache
def tokenizer(pattern: str, normalized: bool = False, **added: bool) -> Any:
    """A byte-level tokenizer that cuts by `pattern`, with as many merges of space as it finds."""
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    rust.decoder = decoders.ByteLevel()
    seen = ["\n\n\n}\n\n{\n\na\n\n", " \n\n\n\n Zed12 'a's", '{"a": 1}/\n/\n\n', "\r\n\r\n", "é學"] * 4
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    rust.train_from_iterator(seen, trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
    rust.add_special_tokens(["<|e|>", AddedToken("<|end|>", normalized=False, **added)])
    rust.add_tokens(["<tool>"])
    if normalized:
        rust.normalizer = normalizers.NFC()
    return rust


def of_pieces(rust: Any, text: str) -> list[int] | None:
    (ids,) = PieceEncoder(rust, TokenBytes(rust)).encode([text], [()], nullcontext())
    return None if ids is None else list(ids.tolist())


@pytest.mark.parametrize("normalized", [False, True], ids=["as it is", "NFC"])
@pytest.mark.parametrize("pattern", [*sorted(WORDS), GPT_2], ids=range(len(WORDS) + 1))
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(TEXTS)
@example("\n\na\n\n\n{ \n\n/\n\nZed<|end|>\n\na")
@example(" \n\n\n\na'\n\n's}\n\n\n{")
def test_pieces_have_the_ids_of_the_whole(pattern: str, normalized: bool, text: str) -> None:
    rust = tokenizer(pattern, normalized)
    ids = of_pieces(rust, text)
    assert ids == rust.encode(text, add_special_tokens=False).ids or (ids is None and "e\u0301" in text and normalized)


def test_what_dialogues_share_is_encoded_once() -> None:
    rust = tokenizer(min(WORDS))
    calls: list[list[str]] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(rust, name)

        def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
            calls.append(texts)
            return rust.encode_batch_fast(texts, **options)

    encoder = PieceEncoder(Counting(), TokenBytes(rust))
    for question in ("one", "two"):
        encoder.encode([f"<|e|>tools\n\n{{}}\n\n{question}<|end|>"], [()], nullcontext())
    assert calls == [["<|e|>", "tools\n\n", "{}\n\n", "one", "<|end|>"], ["two"]]


def test_a_pattern_of_which_nothing_is_known_is_not_cut_at_lines() -> None:
    assert not PieceEncoder(tokenizer(GPT_2), TokenBytes(tokenizer(GPT_2)))._lines


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_a_token_that_looks_at_its_neighbours_forbids_pieces(flag: str) -> None:
    rust = tokenizer(min(WORDS), **{flag: True})
    assert not PieceEncoder(rust, TokenBytes(rust)).exact
