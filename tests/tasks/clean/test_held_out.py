"""Rows that are too like a held-out text, or share a passage with one: as every pair compared one by one says."""

import random

import pyarrow as pa
import pytest

from tasks.clean.held_out import NEAR, NEITHER, PASSAGE, Comparison

WORDS = [*(f"w{number}" for number in range(12)), "ß", "\u200b", "é"]


def expected(text: str, tests: list[str], near: float | None, length: int | None) -> int:
    row = text.split()
    for test in tests if near is not None else ():
        one, other = set(row), set(test.split())
        if one and other and len(one & other) / len(one | other) >= (near or 0):
            return NEAR
    for test in tests if length is not None else ():
        held = test.split()
        runs = {tuple(held[at : at + (length or 0)]) for at in range(len(held) - (length or 0) + 1)}
        if runs & {tuple(row[at : at + (length or 0)]) for at in range(len(row) - (length or 0) + 1)}:
            return PASSAGE
    return NEITHER


@pytest.mark.parametrize(("near", "length"), [(0.8, 3), (0.5, None), (None, 3), (1.0, 5), (0.05, None), (None, None)])
def test_what_is_too_like_is_what_comparing_every_pair_finds(near: float | None, length: int | None) -> None:
    source = random.Random(7)
    seen = set()
    for _ in range(12):
        texts = [" ".join(source.choices(WORDS, k=source.choice((0, 1, 2, 4, 8)))) for _ in range(60)]
        tests = source.sample(texts, source.choice((0, 1, 10)))
        rows = [*texts, *(f"{text}  {source.choice(WORDS)}" for text in tests)]
        kinds = Comparison(tests, near, length)(pa.array(rows)).tolist()
        assert kinds == [expected(row, tests, near, length) for row in rows]
        assert Comparison(tests, near, length)(pa.array(rows).slice(7, 20)).tolist() == kinds[7:27]
        seen |= set(kinds)
    assert seen == {NEITHER, *([NEAR] if near else []), *([PASSAGE] if length else [])}
