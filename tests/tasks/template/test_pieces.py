"""A text that is encoded piece by piece has the ids that the tokenizer gives it as a whole."""

from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tasks.template.offsets import Span, TokenBytes
from tasks.template.pieces import WORDS, PieceEncoder

GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = ("a", "Zed", "{", "}", "/", "'s", "12", "1234", "-", "é", "e\u0301", "學", "👩", '{"a": 1}', "# ")
_SPACES = ("\n", "\n\n", "\r\n", "\r", " ", "\t", "\u2028")
TEXTS = st.lists(st.sampled_from(("<|end|>", "<|end", "|>", "<|e|>", "<tool>", *_SPACES, *_WORDS)), max_size=14).map(
    "".join
)


@cache
def tokenizer(pattern: str, normalized: bool = False, more: tuple[str, ...] = (), **added: bool) -> Any:
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
    rust.add_special_tokens(["<|e|>", AddedToken("<|end|>", normalized=False, **added), *more])
    rust.add_tokens(["<tool>"])
    if normalized:
        rust.normalizer = normalizers.NFC()
    return rust


def of_pieces(rust: Any, text: str, own: list[Span]) -> list[int] | None:
    first, again = PieceEncoder(rust, TokenBytes(rust)).encode([text, text], [own, own], nullcontext())
    assert np.array_equal(first, again)
    return None if first is None else list(first.tolist())


def spans(text: str, places: list[int]) -> list[Span]:
    """What of the text its template wrote: from each other place to the next."""
    ends = sorted({min(place, len(text)) for place in places})
    return list(zip(ends[::2], ends[1::2], strict=False))


@pytest.mark.parametrize("normalized", [False, True], ids=["as it is", "NFC"])
@pytest.mark.parametrize("pattern", [*sorted(WORDS), GPT_2], ids=range(len(WORDS) + 1))
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(TEXTS, st.lists(st.integers(0, 60), max_size=6))
@example("\n\na\n\n\n{ \n\n/\n\nZed<|end|>\n\na", [])
@example(" \n\n\n\na'\n\n's}\n\n\n{", [1, 9])
@example("a\n\n<|e|>a\n\nb<|end|>\n\nZed<|e|>", [0, 11, 19, 22])
def test_pieces_have_the_ids_of_the_whole(pattern: str, normalized: bool, text: str, places: list[int]) -> None:
    rust = tokenizer(pattern, normalized)
    ids = of_pieces(rust, text, spans(text, places))
    assert ids == rust.encode(text, add_special_tokens=False).ids or (ids is None and "e\u0301" in text and normalized)


@pytest.mark.parametrize("written", [False, True])
def test_what_dialogues_share_is_encoded_once(written: bool) -> None:
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
        text = f"<|e|>tools\n\n{{}}\n\n<|e|>{question}<|end|>"
        encoder.encode([text], [[(0, 21), (24, 31)] if written else []], nullcontext())
    assert calls == [["<|e|>", "tools\n\n", "{}\n\n", "one", "<|end|>"], ["two"]]


@pytest.mark.parametrize("tokens", [["|>a", "a<|"], ["<|e", "<|e|>"], ["|e|"]], ids=["overlap", "begin", "within"])
def test_tokens_that_hide_each_other_are_found_as_in_the_whole(tokens: list[str]) -> None:
    """What of them stands in a part of the text need not be one in the whole of it."""
    rust = tokenizer(min(WORDS), more=tuple(tokens))
    text = "<|end|>a<|e|>a<|end|>"
    whole = rust.encode(text, add_special_tokens=False).ids
    for start in range(len(text)):
        for end in range(start, len(text)):
            assert of_pieces(rust, text, [(start, end)]) == whole


def test_tokens_are_compared_with_each_text_for_itself() -> None:
    rust = tokenizer(min(WORDS))
    known = TokenBytes(rust)
    a, b, c, control = (np.array([rust.token_to_id(name)], np.int32) for name in ("a", "b", "c", "<|end|>"))
    assert known.are([a, np.concatenate((b, control)), a[:0]], ["a", "b<|end|>", ""]) == [True, True, True]
    assert known.are([a, b, c], ["b", "a", "c"]) == [False, False, True]
    assert known.are([np.concatenate((a, b)), c], ["a", "bc"]) == [False, False]
    assert known.are([], []) == []


def test_a_pattern_of_which_nothing_is_known_is_not_cut_at_lines() -> None:
    assert not PieceEncoder(tokenizer(GPT_2), TokenBytes(tokenizer(GPT_2)))._lines


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_a_token_that_looks_at_its_neighbours_forbids_pieces(flag: str) -> None:
    rust = tokenizer(min(WORDS), **{flag: True})
    assert not PieceEncoder(rust, TokenBytes(rust)).exact
