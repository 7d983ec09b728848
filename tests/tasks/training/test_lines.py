"""Rows of a batch on a few lines: each once, lines of about the same length, and one line where that is enough."""

from tasks.training.lines import LINE, lines


def test_each_row_stands_once_and_lines_are_about_as_long() -> None:
    lengths = [40 + 7 * (index % 5) for index in range(40)]
    shares = lines(lengths)
    assert sorted(row for share in shares for row in share) == list(range(40))
    assert len(shares) == 8  # 2,160 tokens
    sums = [sum(lengths[row] for row in share) for share in shares]
    assert max(sums) - min(sums) <= max(lengths)


def test_what_fits_on_one_line_stays_there_and_a_line_has_a_row() -> None:
    assert lines([LINE]) == [[0]]
    assert lines([100, 200, 50]) == [[1, 0, 2]]
    assert lines([5 * LINE, 5 * LINE]) == [[0], [1]]
    assert lines([20, 250, 10, 240]) == [[1, 2], [3, 0]]


def test_no_line_is_filled_up_to_a_row_that_is_much_longer() -> None:
    assert lines([1000, 100, 100, 100]) == [[0, 1, 2, 3]]
    assert lines([600, 100, 500, 100]) == [[0, 3], [2, 1]]
