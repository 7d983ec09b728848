"""The picture of a curve: loss with validation, or reward, which may be below zero; none where there are no points."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from flows.results.artifacts import _curve
from tasks.training.loss_curve import COLUMNS, curve


def lines(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Named lines of the picture, as places in it."""
    encoded = re.search(r"base64,([^)]+)\)", _curve(path))
    assert encoded
    picture = ElementTree.fromstring(base64.b64decode(encoded[1]))
    drawn = {}
    for path_ in picture.iter("{http://www.w3.org/2000/svg}path"):
        if (title := path_.find("{http://www.w3.org/2000/svg}title")) is not None:
            points = path_.get("d", "").removeprefix("M").split("L")
            drawn[str(title.text)] = [(float(x), float(y)) for x, y in (point.split(",") for point in points)]
    return drawn


@pytest.mark.parametrize(
    ("history", "names"),
    [
        (
            [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "eval_loss": 1.5}],
            ["training", "validation"],
        ),
        ([{"step": 1, "loss": 0.0, "reward": -3.0}, {"step": 2, "loss": -0.1, "reward": 1.0}], ["reward"]),
    ],
)
def test_a_curve_is_drawn_within_the_picture(tmp_path: Path, history: list[dict[str, float]], names: list[str]) -> None:
    (tmp_path / "loss.csv").write_text(curve(history))
    drawn = lines(tmp_path / "loss.csv")
    assert list(drawn) == names
    assert all(0 <= x <= 720 and 0 <= y <= 300 for line in drawn.values() for x, y in line)
    first = drawn[names[0]]
    assert (first[0][1] < first[1][1]) == (names[0] == "training"), "what falls is drawn downwards"


def test_no_points_are_no_picture(tmp_path: Path) -> None:
    (tmp_path / "loss.csv").write_text(curve([]))
    assert (tmp_path / "loss.csv").read_text() == f"{','.join(COLUMNS)}\n"
    assert _curve(tmp_path / "loss.csv") == ""
