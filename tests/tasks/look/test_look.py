"""A first look at data: what it says is true of them, in a terminal and on the page."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.look.__main__ import main
from tasks.look.render import histogram
from tests.tasks import tiny

CHAT = {"id": "a", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a tokenizer: no project."""
    monkeypatch.chdir(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path / "tok")
    return tmp_path


def write(name: str, *rows: dict[str, Any]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def look(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, what is printed in one line, and what is said of errors."""
    try:
        code = main(list(arguments))
    except SystemExit as exit:  # of argparse
        code = int(exit.code or 0)
    out, error = capsys.readouterr()
    return code, " ".join(out.split()), error


def test_labels_balance_duplicates_and_splits(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": f"my card number {at}", "label": "lost" if at % 4 else "found"} for at in range(40)]
    again, otherwise = dict(rows[0]), {**rows[1], "label": "found"}
    write("rows.jsonl", *rows, again, {**otherwise, "split": "test"})
    code, out, error = look(capsys, "rows.jsonl")
    assert (code, error) == (0, "")
    assert "42 rows read, 42 can be used." in out
    assert "42 rows of the shape classification: text, label is the class, split." in out
    assert "Exact duplicates of another row: 1; clean keeps one of each." in out
    assert "The same request as another row, but a different answer: 1; see clean.conflicts." in out
    assert "drawn by hash 41" in out and "test 1" in out
    assert "2 labels; the most frequent has 2.5 times the rows of the least frequent" in out
    assert "lost 30" in out and "found 12" in out


def test_labels_with_as_many_rows_each(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("rows.jsonl", *({"text": f"my card number {at}", "label": "lost" if at % 2 else "found"} for at in range(40)))
    assert "2 labels; all have as many rows" in look(capsys, "rows.jsonl")[1]


def test_labels_of_lists_are_counted_one_by_one(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"text": f"mail {at}", "labels": ["late", "broken"] if at % 2 else []} for at in range(8)]
    write("rows.jsonl", *rows, {"text": "another mail", "labels": ["late"]})
    code, out, _ = look(capsys, "rows.jsonl")
    assert code == 0
    assert "2 labels; the most frequent has 1.25 times the rows of the least frequent" in out


def test_rows_of_a_project_are_read_as_its_settings_say(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/own").mkdir(parents=True)
    write("data/own/rows.jsonl", {"ask": "hi", "reply": "hello", "other": "bye"})
    columns = "columns: {question: ask, answer: reply}"
    Path("params.yaml").write_text(f"clean:\n  input: data/own\n  {columns}\n")
    code, out, error = look(capsys, "data/own")
    assert code == 0 and "1 row read, 1 can be used." in out and "reply is the answer" in out
    assert error == "Rows are read by clean.columns of params.yaml; --column and --shape override it.\n"
    assert "other is the answer" in look(capsys, "data/own/rows.jsonl", "--column", "answer=other")[1]
    Path("elsewhere.jsonl").write_bytes(Path("data/own/rows.jsonl").read_bytes())
    code, out, error = look(capsys, "elsewhere.jsonl")
    assert (code, error) == (
        1,
        "",
    ) and "1 row cannot be used, so clean leaves them out: unknown_shape, such as elsewhere.jsonl:1." in out, (
        "other data are read by their own keys"
    )


def test_rows_are_shown_as_they_are_trained(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("rows.jsonl", CHAT)
    _, out, _ = look(capsys, "rows.jsonl", "--tokenizer", "tok")
    tokenizer = tiny.tokenizer()
    whole = tokenizer.apply_chat_template(CHAT["messages"], tokenize=False)
    count = len(tokenizer(whole, add_special_tokens=False)["input_ids"])
    trained = len(tokenizer("hello<|im_end|>", add_special_tokens=False)["input_ids"])
    assert f"Row a: {trained} of {count} tokens are trained" in out
    assert " ".join(whole.replace("hello<|im_end|>", "[[hello<|im_end|>]]").split()) in out
    _, out, _ = look(capsys, "rows.jsonl", "--tokenizer", "tok", "--train-on", "all")
    assert f"Row a: {count}" in out or "[[<|im_start|>user hi" in out


def test_the_page_holds_the_same(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        "rows.jsonl",
        CHAT,
        {"messages": [{"role": "user", "content": "<script>alert(1)</script>"}, *CHAT["messages"][1:]]},
    )
    code, out, _ = look(capsys, "rows.jsonl", "--tokenizer", "tok", "--page", "look.html")
    page = Path("look.html").read_text()
    assert code == 0 and "Page: look.html" in out
    assert "2 rows read, 2 can be used." in page and "<mark>hello" in page
    assert "<script" not in page and "&lt;script&gt;" in page


def flat(text: str) -> str:
    """`text` without its line breaks."""
    return " ".join(text.split())


def test_what_leaves_is_told_with_what_to_do(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("rows.jsonl", {"frage": "hi", "antwort": "hello"}, CHAT)
    code, out, _ = look(capsys, "rows.jsonl")
    assert code == 0
    assert "1 row cannot be used, so clean leaves them out: unknown_shape, such as rows.jsonl:1." in out
    assert "No known format has the keys frage, antwort. Name the columns: --column" in flat(out)
    write("rows.jsonl", {"prompt": "hi", "antwort": "hello"}, CHAT)
    _, out, _ = look(capsys, "rows.jsonl")
    assert "The nearest is prompt_completion, which lacks completion. Name the columns:" in flat(out)
    write("rows.jsonl", {"problem": "ask", "solution": "a", "answer": "b"})
    code, out, _ = look(capsys, "rows.jsonl")
    assert code == 1
    assert "columns: {question: problem, answer: solution, ignored: [answer]}" in out
    code, out, _ = look(capsys, "rows.jsonl", "--columns", "question=problem,answer=solution,ignored=answer")
    assert code == 0
    assert "1 row of the shape columns: problem is the question, solution is the answer; not read: answer." in out


def test_the_first_rows_are_said_to_be_the_first(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("rows.jsonl", *[{"question": f"ask {at}", "answer": f"say {at}"} for at in range(30)])
    assert "20 rows read (the first ones; --rows reads more)" in look(capsys, "rows.jsonl", "--rows", "20")[1]
    assert "30 rows read, 30 can be used." in look(capsys, "rows.jsonl", "--rows", "30")[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.jsonl"], "none.jsonl: no such file or folder."),
        (["rows.jsonl", "--tokenizer", "none"], "none: there is no such folder here, and it cannot be downloaded ("),
        (["rows.jsonl", "--shape", "parquet"], "--shape parquet: no such format; choose one of auto, messages"),
        (["rows.jsonl", "--column", "colour=a"], "--column colour=a: write ROLE=NAME"),
        (["rows.jsonl", "--column", "label=a"], "masked, ignored. A row's class is its answer."),
        (
            ["rows.jsonl", "--column", "question=a,answer=a"],
            "--column: columns.question and columns.answer both name a; ",
        ),
        (
            ["rows.jsonl", "--column", "question=a", "--column", "question=b"],
            "question=b: question is a already; name it",
        ),
        (["rows.jsonl", "--page", "."], "--page .: a folder; name a file"),
        (["rows.jsonl", "--rows", "-3"], "a whole number of rows, at least 1"),
    ],
)
def test_bad_use_is_one_sentence(
    workdir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write("rows.jsonl", CHAT)
    code, _, error = look(capsys, *arguments)
    assert code == 2
    assert sentence in error and "Traceback" not in error


def test_the_last_line_says_on_how_many_rows_one_would_train(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def turns(answer: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": answer}]}

    long = turns("x" * 300)
    write("rows.jsonl", CHAT, CHAT, long, long, turns(""), *(turns(f"answer {at}") for at in range(3)))
    code, out, _ = look(capsys, "rows.jsonl", "--tokenizer", "tok", "--page", "look.html")
    last = "Rows to train, validate and test on: 4 of 8, before near-duplicates of test rows leave."
    assert code == 0 and out.endswith(last), "one empty, two repeated, one of the long ones is left"
    assert last in Path("look.html").read_text()
    assert "limit 256 (model_max_length of the tokenizer), 2 above" in out
    assert look(capsys, "rows.jsonl")[1].endswith(last.replace("4", "5")), "without a tokenizer nothing is too long"


def test_rows_without_the_named_columns_are_named_with_their_file(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data").mkdir()
    write("data/a.jsonl", {"ask": "hi", "reply": "hello"})
    write("data/b.jsonl", {"prompt": "hi", "chosen": "hello", "rejected": "no"})
    write("data/c.jsonl", {"colour": "red"})
    code, out, _ = look(capsys, "data", "--columns", "question=ask,answer=reply")
    assert code == 0 and "3 rows read, 2 can be used." in out and "1 row of the shape preference" in out
    assert "missing_column, such as c.jsonl:1." in out
    assert "c.jsonl:1: no known format has the keys colour, and clean.columns names ask, reply;" in out


def test_long_answers_are_no_labels(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = ("Please send it back within thirty days, and we will pay for the parcel and the item.", "Yes.")
    write("rows.jsonl", *({"question": f"ask {at}", "answer": answers[at % 2]} for at in range(8)))
    assert "Labels" not in look(capsys, "rows.jsonl")[1]


def test_rows_that_are_far_longer_share_the_last_bar() -> None:
    lengths = [*range(1, 99), 150, 9000]
    bars = list(histogram(lengths))
    assert bars[-1] == ("more than 100", 2) and len(bars) == 11
    assert sum(count for _, count in bars) == len(lengths)
    assert list(histogram([*range(1, 99), 100, 300]))[-1] == ("251-300", 1), "not far enough"


def test_bars_have_round_edges_and_hold_every_row() -> None:
    lengths = [3, 10, 11, 99, 100, 512, 4068]
    bars = list(histogram(lengths))
    assert sum(count for _, count in bars) == len(lengths)
    assert len(bars) <= 13
    edges = [tuple(int(edge.replace(",", "")) for edge in label.split("-")) for label, _ in bars]
    assert all(low == before[1] + 1 for before, low in zip(edges, (edge[0] for edge in edges[1:]), strict=False))


def test_the_command_of_temper_passes_it_on(workdir: Path) -> None:
    write("rows.jsonl", CHAT)
    command = [sys.executable, "-m", "flows.cli.main", "look", "rows.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 row read, 1 can be used." in done.stdout
