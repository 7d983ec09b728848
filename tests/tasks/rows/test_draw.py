"""Rows drawn keep each kind's share, are the same every time, and hardly change where rows are added."""

import doctest
import random
from collections import Counter

import pytest

from tasks.rows import draw as module
from tasks.rows.draw import Drawable, draw


def rows(count: int, classes: list[str]) -> list[Drawable]:
    """`count` rows of each class, sorted by class as files of classes often are."""
    return [Drawable(f"{name}-{at}", name, ("new_phrasing", "a.csv")) for name in classes for at in range(count)]


def test_each_class_keeps_its_share() -> None:
    classes = [f"class {at:02}" for at in range(77)]
    held_out = rows(40, classes)
    indices, record = draw(held_out, 400)
    shares = Counter(held_out[index].reference for index in indices)
    assert len(indices) == 400 and len(shares) == 77
    assert set(shares.values()) <= {5, 6}, "400 / 77"
    assert record == {"rows": 400, "of": 3080, "by": "class"}


def test_rare_classes_get_what_is_theirs() -> None:
    held_out = [*rows(900, ["often"]), *rows(90, ["rare"]), *rows(10, ["rarest"])]
    indices, _ = draw(held_out, 100)
    assert Counter(held_out[index].reference for index in indices) == {"often": 90, "rare": 9, "rarest": 1}


def test_without_classes_slices_and_sources_keep_theirs() -> None:
    held_out = [
        Drawable(f"row{at}", f"answer {at}", (("new_phrasing", "other")[at % 4 == 0], ("a", "b")[at < 50]))
        for at in range(200)
    ]
    indices, record = draw(held_out, 40)
    every, drawn = (Counter(row.group for row in part) for part in (held_out, [held_out[index] for index in indices]))
    assert record["by"] == "group"
    assert all(abs(drawn[group] - every[group] / 5) <= 1 for group in every)


@pytest.mark.parametrize("classes", [["a", "b", "c"], []])
def test_who_is_drawn_does_not_depend_on_the_order_and_hardly_on_others(classes: list[str]) -> None:
    held_out = rows(100, classes) or [Drawable(f"row{at}", f"answer {at}", ()) for at in range(300)]
    names = {held_out[index].id for index in draw(held_out, 60)[0]}
    mixed = random.Random(1).sample(held_out, len(held_out))
    indices, _ = draw(mixed, 60)
    assert {mixed[index].id for index in indices} == names
    assert indices == sorted(indices), "rows stay in the order of the split"
    more = [*held_out, *(Drawable(f"more{at}", classes[0] if classes else f"new {at}", ()) for at in range(6))]
    again = {more[index].id for index in draw(more, 60)[0]}
    assert len(names & again) >= 55


def test_all_rows_are_drawn_where_the_limit_allows() -> None:
    held_out = rows(3, ["a", "b"])
    for limit in (None, 6, 100):
        assert draw(held_out, limit) == (list(range(6)), {"rows": 6, "of": 6, "by": "all"})


def test_the_examples_run() -> None:
    assert doctest.testmod(module).failed == 0
