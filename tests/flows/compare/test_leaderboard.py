"""Bases side by side: the best run of each, ranked by the metric that decides, in 80 columns."""

from rich.cells import cell_len

from flows.compare.leaderboard import base_name, leaderboards, of_bases, of_trials
from flows.compare.terminal import board_lines
from tests.flows.compare import made


def numbers(base: float, tuned: float, seconds: float | None = None) -> dict[str, float]:
    published = {
        f"candidates.{candidate}.exact_match.{leaf}": value
        for candidate, middle in (("base", base), ("merged", tuned))
        for leaf, value in (("value", middle), ("low", middle - 0.1), ("high", middle + 0.1), ("n", 20.0))
    }
    return published if seconds is None else {**published, "seconds.train": seconds, "seconds.evaluate-base": 9.0}


def test_a_sweep_over_bases_ranks_them_with_intervals_and_price() -> None:
    trials = [
        ("t-1", {"base.hub": f"a/one@{'1' * 40}"}, numbers(0.2, 0.5, 1800.0)),
        ("t-2", {"base.hub": f"a/two@{'2' * 40}"}, numbers(0.3, 0.7, 3600.0)),
        ("t-3", {"base.hub": f"a/two@{'2' * 40}"}, numbers(0.3, 0.6)),
        ("t-4", {"base.hub": f"a/three@{'3' * 40}"}, {}),
    ]
    board = of_trials(trials, "candidates.merged.exact_match.value", True, 2.0)
    assert board
    assert [(entry.base, entry.run, entry.training, entry.cost) for entry in board.entries] == [
        ("a/two", "t-2", 3600.0, 2.0), ("a/one", "t-1", 1800.0, 1.0),
    ]  # fmt: skip
    assert board.others == {"a/two": 1, "a/one": 0}
    listed = board.as_json()
    assert listed["tasks"] == [{"task": "", "metric": "exact_match"}]
    assert [[round(value, 4) for value in cell] for cell in listed["entries"][0]["scores"][0]] == [
        [0.3, 0.2, 0.4],
        [0.7, 0.6, 0.8],
    ]
    lines = list(board_lines(board))
    assert all(cell_len(line) <= 80 for line in lines)
    assert "  exact match                      0.300 (0.200-0.400)    0.700 (0.600-0.800)" in lines
    assert "  training: 60 min, 2.00 at machine.price" in lines
    least = of_trials(trials, "candidates.merged.exact_match.value", False, None)
    assert least and [entry.base for entry in least.entries] == ["a/one", "a/two"]


def test_no_leaderboard_of_one_base_or_of_other_rows() -> None:
    assert (
        of_trials([("t", {"base.folder": "a"}, numbers(0.1, 0.2))], "candidates.merged.exact_match.value", True, None)
        is None
    )
    runs = [made.run(number, right=5, **{"base.hub": f"a/{number}@x"}) for number in (1, 2)]
    assert [len(board.entries) for board in leaderboards(runs)] == [2]
    runs[0].outs["clean"]["data/clean/test.parquet"] = "cd" * 16
    assert leaderboards(runs) == []


def test_a_base_is_called_by_model_or_folder() -> None:
    assert base_name({"base.hub": "a/b@123", "base.folder": "c"}) == "a/b"
    assert base_name({"base.hub": None, "base.folder": "data/bases/c"}) == "data/bases/c"
    assert of_bases(["train.lora.r", "base.folder"]) and not of_bases(["base.lines"])
