"""The report's figures: its numbers as charts, which follow the page's colours in light, dark and print."""

from typing import Any

from markupsafe import Markup

from tasks.charts.bars import Bar, Interval, bars, dots, histogram
from tasks.charts.line import line_chart
from tasks.charts.svg import Picture, Point
from tasks.training.loss_curve import above_start, starts_at_ln_2

SPLITS = ("train", "validation", "test")
"""Splits in the order of their colours."""


def intervals(lines: list[dict[str, Any]], metric: str) -> Markup:
    """One bar a line, its 95 % interval as a whisker; `metric`: its name as a person reads it.

    `lines`: name, kind (a class: before, tuned, small), value, low, high as shares of 1.
    """
    rows = [Bar(line["name"], line["kind"], _interval(line)) for line in lines]
    return _inline(bars(rows, f"Scores of each candidate ({metric}) with its 95 % interval"))


def slices(lines: list[dict[str, Any]], names: list[str], metric: str) -> Markup:
    """For each line and each slice a point with its interval, one colour a slice.

    `lines`: name, slices (name to value, low, high as shares of 1).
    """
    rows = [
        (line["name"], {at: _interval(line["slices"][name]) for at, name in enumerate(names) if name in line["slices"]})
        for line in lines
    ]
    return _inline(dots(rows, len(names), f"Scores by slice ({metric}) with 95 % intervals"))


def lengths(edges: list[int], rows: dict[str, list[int]], unit: str) -> Markup:
    """Rows by length: for each range of characters or tokens from an edge to the next a bar, one colour a split.

    `rows`: split to a count for each range; the last one is open. Ranges beyond the longest row are not drawn.
    """
    used = max((at + 1 for counts in rows.values() for at, count in enumerate(counts) if count), default=0)
    if not used:
        return Markup("")
    counts = {series: rows[name][:used] for series, name in enumerate(SPLITS) if any(rows.get(name, ()))}
    ranges = [f"{edge:,}+" for edge in edges[:used]]
    return _inline(histogram(ranges, counts, f"{unit} of a row", f"Rows by length in {unit}"))


def measured(rows: list[dict[str, float | None]]) -> str:
    """What a curve is of: loss; or reward, where the model's own answers were rewarded, for the loss says nothing."""
    return "reward" if _points(rows, "reward") else "loss"


def curve(rows: list[dict[str, float | None]]) -> Markup:
    """Loss, or reward, over steps: in training and, for the loss, in validation where that was measured."""
    what = measured(rows)
    lines = {"training": _points(rows, what), "validation": _points(rows, "eval_loss") if what == "loss" else []}
    if not lines["training"]:
        return Markup("")
    drawn = {name: points for name, points in lines.items() if points}
    return _inline(line_chart(drawn, "step", what, f"{what.capitalize()} over training steps"))


def pairs(rows: list[dict[str, float | None]]) -> Markup:
    """The share of pairs in which the chosen answer gained on the rejected one, in training and on held-out pairs."""
    lines = {"training": _points(rows, "accuracy"), "validation": _points(rows, "eval_accuracy")}
    if not lines["training"]:
        return Markup("")
    drawn = {name: points for name, points in lines.items() if points}
    return _inline(line_chart(drawn, "step", "accuracy", "Share of pairs ranked correctly over training steps"))


def rewards(rows: list[dict[str, float | None]]) -> Markup:
    """What chosen and rejected answers gained since the start, on held-out pairs, or in training for want of them."""
    split = "eval_" if _points(rows, "eval_chosen_reward") else ""
    lines = {name: _points(rows, f"{split}{name}_reward") for name in ("chosen", "rejected")}
    if not all(lines.values()):
        return Markup("")
    what = "held-out pairs" if split else "training pairs"
    return _inline(line_chart(lines, "step", "reward", f"Rewards of chosen and rejected answers on {what}"))


def answers(rows: list[dict[str, float | None]]) -> list[tuple[str, str, Markup]]:
    """What was measured of the answers that the model gave in training: titles, what they mean, and charts.

    `rows`: of the curve; columns `reward_*` are what single rewards gave.
    """
    components = sorted({name for row in rows for name in row if name.startswith("reward_")})
    charts = [
        *((f"Reward: {name.removeprefix('reward_').replace('_', ' ')}", "Its mean, before its weight.", name, "reward")
          for name in components),
        ("Divergence from the reference", "How far the model has moved, in nats per token.", "kl", "nats"),
        ("Divergence from the reference", "How far the model has moved, in nats per answer.", "kl_of_answer", "nats"),
        ("Entropy", 
            "Uncertainty about the next token, in nats per token; near 0 all answers are the same.", "entropy", "nats"),
        ("Entropy", "Uncertainty about an answer, in nats over its length.", "entropy_of_answer", "nats"),
        ("Length of answers", "Their mean, in tokens.", "answer_tokens", "tokens"),
        ("Explained variance", 
            "How well the value estimates predict returns: 1 is perfect, 0 no better than their mean.",
         "explained_variance", "share"),
    ]  # fmt: skip
    drawn = [(title, about, _points(rows, column), y) for title, about, column, y in charts]
    return [
        (title, about, _inline(line_chart({"training": points}, "step", y, f"{title} over training steps")))
        for title, about, points, y in drawn
        if points
    ]


def last(rows: list[dict[str, float | None]]) -> dict[str, float]:
    """The last rewards, margin and accuracy that were measured, by column."""
    each = ("chosen_reward", "rejected_reward", "margin", "accuracy")
    columns = (*each, *(f"eval_{name}" for name in each))
    return {name: points[-1][1] for name in columns if (points := _points(rows, name))}


def dpo_above_start(rows: list[dict[str, float | None]], align: dict[str, Any]) -> float | None:
    """The mean of DPO's last losses where it is above where they began; else None.

    `align`: its settings, flat; other losses begin elsewhere.
    """
    arguments = {key.removeprefix("arguments."): value for key, value in align.items() if key.startswith("arguments.")}
    own = starts_at_ln_2(align.get("objective", "off"), arguments)
    return above_start([loss for _, loss in _points(rows, "loss")]) if own else None


def _interval(numbers: dict[str, Any]) -> Interval:
    return Interval(numbers["value"], numbers["low"], numbers["high"])


def _points(rows: list[dict[str, float | None]], name: str) -> list[Point]:
    pairs = [(row.get("step"), row.get(name)) for row in rows]
    return [(step, value) for step, value in pairs if step is not None and value is not None]


def _inline(picture: Picture) -> Markup:
    return Markup(picture.inline())  # the charts escape what comes from data
