"""What the Prefect UI shows of a stage while it runs: how often, and what of it."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from flows.run import progress
from flows.run.progress import MOST, Bars, Lines, add_points, picture


class Page:
    """Stands for the server: what was shown under which key, in order."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []
        self.keys: dict[UUID, str] = {}

    def create_bar(self, progress: float, key: str, description: str) -> UUID:
        return self._new(key, description)

    def update_bar(self, artifact_id: UUID, progress: float, description: str) -> None:
        self.shown.append((self.keys[artifact_id], description))

    def create_markdown(self, key: str, markdown: str, description: str) -> UUID:
        return self._new(key, markdown.rpartition("\n\n")[2])

    def update_artifact(self, artifact_id: UUID, artifact: Any) -> None:
        self.shown.append((self.keys[artifact_id], artifact.data.rpartition("\n\n")[2]))

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def _new(self, key: str, text: str) -> UUID:
        identity = uuid4()
        self.keys[identity] = key
        self.shown.append((key, text))
        return identity


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    page = Page()
    monkeypatch.setattr(progress, "create_progress_artifact", page.create_bar)
    monkeypatch.setattr(progress, "update_progress_artifact", page.update_bar)
    monkeypatch.setattr(progress, "create_markdown_artifact", page.create_markdown)
    monkeypatch.setattr(progress, "get_client", lambda sync_client: page)
    yield page


def state(done: int, left: float | None, **figures: float) -> dict[str, Any]:
    return {"what": "train", "done": done, "total": 400, "unit": "steps", "left": left, "figures": figures}


def test_a_bar_and_a_curve_are_live(page: Page) -> None:
    now = 0.0
    bars = Bars(lambda: now)
    for second in range(41):  # ten steps a second, a loss every ten steps
        now = float(second)
        done = 10 * second
        bars.show("train", state(done, 40.0 - second, loss=4.0 - second / 20))
    bars.close()
    bar = [text for key, text in page.shown if key == "progress-train"]
    assert len(bar) == 9  # at 0, 5, ..., 40 s
    assert bar[1] == "train: 50/400 steps, 35 s left  loss 3.75 (12 %)"
    curve = [text for key, text in page.shown if key == "loss"]
    assert [text.split()[1] for text in curve] == ["0/400", "150/400", "300/400", "400/400"]
    assert curve[1] == "train: 150/400 steps, 25 s left  loss 3.25."
    assert list(bars.pictures) == ["loss"]
    assert len(page.keys) == 2  # each is changed in its place


def test_what_has_no_loss_has_no_curve(page: Page) -> None:
    bars = Bars(lambda: 0.0)
    bars.show("quantize@gguf-q8_0", {"what": "layers", "done": 2, "total": 4, "unit": "layers", "figures": {"kl": 0.1}})
    bars.close()
    assert page.shown == [("progress-quantize-gguf-q8-0", "layers: 2/4 layers  kl 0.1 (50 %)")]


def test_a_line_has_a_point_for_each_new_value() -> None:
    lines: Lines = {}
    reports = [(1, {"loss": 3.0}), (2, {"loss": 3.0}), (3, {"loss": 2.5, "eval_loss": 2.75}), (4, {"grad_norm": 1.0})]
    assert [add_points(lines, state(done, None, **figures)) for done, figures in reports] == [True, False, True, False]
    assert lines == {"training": [(1.0, 3.0), (3.0, 2.5)], "validation": [(3.0, 2.75)]}
    for done in range(5, 5 + 3 * MOST):
        add_points(lines, state(done, None, loss=1.0 / done))
    assert len(lines["training"]) <= MOST
    assert lines["training"][0] == (1.0, 3.0)
    assert lines["training"][-1] == (4.0 + 3 * MOST, 1.0 / (4 + 3 * MOST))


def test_rewards_are_shown_in_the_place_of_the_loss() -> None:
    text = picture({"training": [(1.0, 0.01)], "reward": [(1.0, 0.25), (2.0, 0.5)]})
    assert text.endswith("\n\nLast: reward 0.5.")
    assert "training" not in text.split("](data:")[0]
