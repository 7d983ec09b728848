"""What all verdicts come to: who wins, whether the judge agrees with itself and with the metrics, what it leans to."""

from typing import Any

from tasks.judge.pairs import LOSS, TIE, WIN
from tasks.statistics import intervals
from tasks.statistics.paired import mcnemar

POINTS = {WIN: 1.0, TIE: 0.5, LOSS: 0.0}

Row = dict[str, Any]
"""first, second (verdicts of the two orders), verdict (of both together), output, against (texts), score (one minus the
other's, by metric)."""


def tally(rows: list[Row]) -> dict[str, Any]:
    """Numbers of judged.json; shares with their 95 % intervals, None where there is nothing to count.

    value: points of the candidate, a tie being half of one; p: exact, of wins against losses. same_verdict: rows on
    which both orders agree. first_position: rows with a preference on which the judge prefers what stands first, a row
    that turns with the order being a whole one; bias_p: exact, of rows where it always prefers the first against rows
    where it always prefers the second. longer: decided rows on which the longer answer wins. agrees: by metric, decided
    rows on which the metric sees a difference and the judge the same one.
    """
    clear = [row for row in rows if row["verdict"] is not None]
    counts = {name: sum(row["verdict"] == name for row in clear) for name in (WIN, TIE, LOSS)}
    decided = [row for row in clear if row["verdict"] != TIE]
    asked = [row for row in clear if row["output"] != row["against"]]
    firsts = [_first(row) for row in asked]
    always = sum(share == 1.0 and row["first"] != row["second"] for row, share in zip(asked, firsts, strict=True))
    never = sum(share == 0.0 and row["first"] != row["second"] for row, share in zip(asked, firsts, strict=True))
    unlike = [row for row in decided if len(row["output"]) != len(row["against"])]
    return {
        **(intervals.mean([POINTS[row["verdict"]] for row in clear]) if clear else {}),
        "wins": counts[WIN],
        "ties": counts[TIE],
        "losses": counts[LOSS],
        "p": float(f"{mcnemar(counts[WIN], counts[LOSS]):.4g}"),
        "unclear": len(rows) - len(clear),
        "same_answers": len(clear) - len(asked),
        "same_verdict": _share([row["first"] == row["second"] for row in asked]),
        "first_position": _share([share for share in firsts if share is not None]),
        "bias_p": float(f"{mcnemar(always, never):.4g}"),
        "longer": _share([(len(row["output"]) > len(row["against"])) == (row["verdict"] == WIN) for row in unlike]),
        "agrees": {metric: _agreement(decided, metric) for metric in (rows[0]["score"] if rows else ())},
    }


def _first(row: Row) -> float | None:
    """Share of the preferences in a row that are for what stood first; None where there is none."""
    preferences = []
    if row["first"] != TIE:
        preferences.append(row["first"] == WIN)
    if row["second"] != TIE:
        preferences.append(row["second"] == LOSS)  # swapped: the other answer stood first
    return sum(preferences) / len(preferences) if preferences else None


def _agreement(decided: list[Row], metric: str) -> dict[str, Any] | None:
    differing = [row for row in decided if row["score"][metric]]
    return _share([(row["score"][metric] > 0) == (row["verdict"] == WIN) for row in differing])


def _share(values: list[Any]) -> dict[str, Any] | None:
    return intervals.mean([float(value) for value in values]) if values else None
