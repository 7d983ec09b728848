"""Every column is read, or told as unread: what looks like an answer or a switch stops the run with the line to add."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.clean.columns import ColumnSurvey, reading
from tasks.clean.content import Unusable
from tasks.clean.files import sources
from tasks.clean.read import records
from tasks.clean.settings import Columns, Settings, Splits
from tasks.clean.shapes import to_content
from tasks.clean.stage import run, validate
from tasks.core.errors import InputError, LossError
from tasks.core.paths import Paths

CHAT = {"messages": [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "answer"}]}
ALPACA = {"instruction": "ask", "output": "answer"}
PAIR = {"prompt": "ask", "chosen": "yes", "rejected": "no"}


def unread(row: dict[str, Any], columns: Columns | None = None) -> set[tuple[str, str]]:
    """Name and kind of what is not read and must be told."""
    columns = columns or Columns()
    missed = ColumnSurvey(columns).missed(row, to_content(row, columns=columns))
    return {(one.name, one.kind) for one in missed}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"text": "my card is lost", "label": [["lost_card", "card_arrival"]]}, "label"),
        ({"text": "ask", "output": "answer"}, "output"),
        ({"text": "ask", "finalAnswer": "answer"}, "finalAnswer"),
        ({"text": "a b c", "category": "of letters " * 20}, "category"),
        ({"text": "a b c", "Sentiment": {"good": "very"}}, "Sentiment"),
        ({"text": "a long story", "summary": "a story"}, "summary"),
        ({"text": "answer", "instruction": "ask"}, "instruction"),
        ({"text": "answer", "question": "ask"}, "question"),
        ({**CHAT, "answer": "42"}, "answer"),
        ({**CHAT, "solution": ["42"]}, "solution"),
        ({**ALPACA, "response": "another"}, "response"),
        ({**ALPACA, "label": True}, "label"),
        ({**ALPACA, "reasoning": "because"}, "reasoning"),
        ({**PAIR, "label": 1}, "label"),
        ({"prompt": "ask", "completion": "answer", "gold_answer": "other"}, "gold_answer"),
    ],
)
def test_what_looks_like_an_answer_is_told(row: dict[str, Any], name: str) -> None:
    assert unread(row) == {(name, "answer")}
    assert unread(row, Columns(ignored=(name,))) == set()


@pytest.mark.parametrize(
    ("key", "value"),
    [("train", False), ("loss", 0), ("loss_mask", [0, 1]), ("mask", "User"), ("sample_weight", 0.5), ("masked", True)],
)
def test_what_looks_like_a_switch_of_rows_is_told(key: str, value: Any) -> None:
    assert unread({**CHAT, key: value}) == {(key, "switch")}


def test_a_switch_of_turns_that_is_not_certain_is_told() -> None:
    user, answer = CHAT["messages"]
    row = {"messages": [user, {**answer, "mask": 1}]}
    assert unread(row) == {("mask", "switch")}
    assert unread(row, Columns(masked="mask")) == unread(row, Columns(ignored=("mask",))) == set()


@pytest.mark.parametrize(
    "row",
    [
        {"text": "a page", "url": "https://example.com", "timestamp": "2020", "title": "A", "meta": {"label": 1}},
        {"text": "a page", "id": "1", "dump": "CC", "language": "en", "language_score": 0.9, "token_count": 3},
        {"text": "a page", "label": None, "output": "  ", "answers": []},
        {**CHAT, "prompt": "ask", "prompt_id": "x", "category": "open", "score": 0.5, "model": "m", "loss": 2.31},
        {**CHAT, "answer_length": 6, "output_tokens": 2, "response_time": 0.3, "num_outputs": 1, "label_source": "us"},
        {**CHAT, "output": "answer", "instruction": " ask "},
        {**ALPACA, "input": "", "text": "Below is an instruction: ask ### answer", "difficulty": "easy"},
        {**PAIR, "prompt_id": "x", "score_chosen": 8.0, "score_rejected": 2.0, "chosen_model": "m", "messages": []},
        {**CHAT, "images": [], "image": None, "video_count": 0, "weight": 1, "tools": [], "functions": None},
        {"instruction": "ask", "context": "", "response": "answer", "category": "open_qa"},
    ],
)
def test_what_stands_beside_is_no_alarm(row: dict[str, Any]) -> None:
    assert unread(row) == set()


def test_a_part_of_the_prompt_is_told_but_stops_nothing() -> None:
    assert unread({**CHAT, "context": "In French."}) == {("context", "prompt")}


@pytest.mark.parametrize(
    ("row", "read"),
    [
        ({"system": "s", **PAIR}, {"system", "prompt", "chosen", "rejected"}),
        ({"instruction": "a", "input": "b", "context": "c", "output": "d"}, {"instruction", "input", "output"}),
        (
            {**CHAT, "system": "s", "functions": [{"name": "f"}], "weight": 1},
            {"messages", "system", "functions", "weight"},
        ),
    ],
)
def test_what_is_told_as_read_is_what_is_read(row: dict[str, Any], read: set[str]) -> None:
    content = to_content(row)
    assert set(reading(row, content.shape, Columns())) == read
    for name in set(row) - read:
        assert to_content({key: kept for key, kept in row.items() if key != name}) == content
    for name in read - {"messages"}:
        try:
            assert to_content({key: kept for key, kept in row.items() if key != name}) != content
        except Unusable:
            continue


def test_a_system_prompt_beside_is_read_in_every_shape() -> None:
    system = {"role": "system", "content": "be brief", "extra": None}
    for row in ({"prompt": "ask", "completion": "answer"}, PAIR, {"prompt": "a", "completion": "b", "label": 1}, CHAT):
        for form in ("be brief", ["be brief"], [{"type": "text", "text": "be brief"}]):
            content = to_content({**row, "system": form})
            assert (content.prompt or content.messages or [])[0] == system
    with pytest.raises(Unusable, match="several_texts"):
        to_content({**CHAT, "system": ["be brief", "be kind"]})
    with pytest.raises(Unusable, match="not_text"):
        to_content({**CHAT, "system": {"rules": "be brief"}})


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "capital?", "output": ["Paris", "paris"]},
        {"prompt": "capital?", "completion": ["Rome", "Roma"]},
        {"prompt": "capital?", "chosen": ["Rome", "Roma"], "rejected": "Oslo"},
        {"messages": [CHAT["messages"][0], {"role": "assistant", "content": ["Paris", "paris"]}]},
    ],
)
def test_lists_of_texts_are_never_joined(row: dict[str, Any]) -> None:
    with pytest.raises(Unusable, match="several_texts"):
        to_content(row)
    single = json.loads(
        json.dumps(row).replace('["Rome", "Roma"]', '["Rome"]').replace('["Paris", "paris"]', '["Rome"]')
    )
    assert to_content(single).answer() == "Rome"


def test_a_list_of_answers_in_an_object_is_one_answer_or_none() -> None:
    columns = Columns(question="question", answer="answers.text")
    row = {"question": "capital?", "answers": {"text": ["Paris"], "answer_start": [3]}}
    assert to_content(row, columns=columns).answer() == "Paris"
    with pytest.raises(Unusable, match="several_texts"):
        to_content({**row, "answers": {"text": ["Paris", "paris"]}}, columns=columns)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"images": ["a.png"]}, "has_image"),
        ({"image": {"bytes": "x", "path": None}}, "has_image"),
        ({"image_url": "https://example.com/a"}, "has_image"),
        ({"audio": "a.wav"}, "has_audio"),
        ({"videos": [{"path": "a.mp4"}]}, "has_video"),
    ],
)
def test_what_is_no_text_is_refused_by_name(more: dict[str, Any], reason: str) -> None:
    for row in (CHAT, ALPACA, PAIR, {"text": "a caption"}):
        with pytest.raises(Unusable, match=reason):
            to_content({**row, **more})
        assert to_content({**row, **more}, columns=Columns(ignored=tuple(more))) == to_content(row)
    with pytest.raises(Unusable, match=reason):
        to_content({"messages": [{**CHAT["messages"][0], **more}, CHAT["messages"][1]]})


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "image", "image": "a.png", "text": ""}, "has_image"),
        ({"type": "image_url", "image_url": {"url": "a"}}, "has_image"),
        ({"type": "input_image", "text": ""}, "has_image"),
        ({"type": "input_audio", "input_audio": {"data": "x"}}, "has_audio"),
        ({"type": "video", "text": ""}, "has_video"),
        ({"type": "file", "file": {"file_id": "x"}}, "has_file"),
        ({"image": "a.png", "text": ""}, "has_image"),
    ],
)
def test_a_part_that_is_no_text_is_refused_by_name(part: dict[str, Any], reason: str) -> None:
    text = {"type": "text", "text": "What is it?", "image": None}
    for content in ([part, text], [text, part], [part]):
        with pytest.raises(Unusable, match=reason):
            to_content({"messages": [{"role": "user", "content": content}, CHAT["messages"][1]]})


VALUES: list[tuple[Any, bool]] = [(True, True), (False, False), (1, True), (0, False), (1.0, True), (0.0, False)]


def test_labels_and_weights_are_read_alike_from_every_kind_of_file(tmp_path: Path) -> None:
    for at, (label, expected) in enumerate(VALUES):
        row = {"prompt": "ask", "completion": "answer", "label": label, "weight": 1.0}
        files = [tmp_path / f"{at}.{ending}" for ending in ("jsonl", "json", "csv", "parquet")]
        files[0].write_text(json.dumps(row))
        files[1].write_text(json.dumps([row]))
        with files[2].open("w") as file:
            csv.writer(file).writerows([list(row), list(row.values())])
        parquet.write_table(pa.Table.from_pylist([row]), files[3])
        contents = [
            to_content(record.value or {})
            for file in files
            for source in sources(file, Splits())
            for record in records(source)
        ]
        assert [(content.label, content.weight) for content in contents] == [(expected, 1.0)] * len(files)
        assert all(content == contents[0] for content in contents)


@pytest.mark.parametrize("label", [2, -1, 0.5, "", "maybe", None, [1], "nan"])
def test_a_label_that_is_neither_is_refused(label: Any) -> None:
    with pytest.raises(Unusable):
        to_content({"prompt": "ask", "completion": "answer", "label": label}, "kto")


def cleaned(paths: Paths, rows: list[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    """The ledger of a run over `rows`."""
    (paths.root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(Settings.model_validate({"input": "rows.jsonl", "test_share": 0.3, "max_loss": 1, **settings}), paths)
    ledger: dict[str, Any] = json.loads((paths.clean / "ledger.json").read_text())
    return ledger


def test_the_stage_stops_with_the_column_the_place_and_the_line_to_add(paths: Paths) -> None:
    rows: list[dict[str, Any]] = [{"text": f"request number {at}", "output": f"class {at % 3}"} for at in range(40)]
    with pytest.raises(
        InputError, match=r"'output' looks like an answer.*rows\.jsonl:1.*answer: output.*ignored: \[output\].*40 rows"
    ):
        cleaned(paths, rows)
    assert not paths.clean.exists() or not any(paths.clean.glob("*.parquet"))
    ledger = cleaned(paths, rows, columns={"question": "text", "answer": "output"}, duplicates=False, passage=None)
    read = {"output": "answer", "text": "question"}
    assert ledger["columns"]["columns"] == {"not_read": {}, "read": read, "rows": 40}


CARD = """---
license: mit
dataset_info:
- config_name: other
  features: [{name: text, dtype: string}]
- config_name: default
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': no
          '2': yes, please
          '1': maybe
---
# Rows
"""
INFO = {"features": {"text": {"_type": "Value"}, "label": {"names": ["no", "maybe", "yes, please"]}}}
LIST = {"features": {"label": {"feature": {"names": ["no", "maybe", "yes, please"], "_type": "ClassLabel"}}}}


def table(path: Path) -> None:
    """A table with the classes in its schema, as `datasets` writes it."""
    import pyarrow as pa
    from pyarrow import parquet

    note = {"huggingface": json.dumps({"info": INFO})}
    rows = pa.table({"text": ["a", "b"], "label": [2, 0]}).replace_schema_metadata(note)
    parquet.write_table(rows, path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("rows/README.md", CARD),
        ("rows/dataset_info.json", json.dumps(INFO)),
        ("rows/part/dataset_info.json", json.dumps(LIST)),
        ("rows/b.parquet", ""),
    ],
)
def test_classes_that_are_numbers_are_trained_by_the_names_that_the_data_give(
    paths: Paths, file: str, content: str
) -> None:
    (paths.root / "rows/part").mkdir(parents=True)
    rows = [{"text": f"request number {at}", "label": at % 3} for at in range(40)]
    (paths.root / "rows" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if content:
        (paths.root / file).write_text(content)
    else:
        table(paths.root / file)
    settings = Settings.model_validate({"input": "rows", "test_share": 0.3, "passage": None, "near_duplicate": None})
    validate(settings, paths)
    run(settings, paths)
    kept = [*read_rows(paths, "train"), *read_rows(paths, "test"), *read_rows(paths, "validation")]
    answers = {row["messages"][0]["content"]: row["messages"][1]["content"] for row in kept}
    names = ("no", "maybe", "yes, please")
    assert {f"request number {at}": names[at % 3] for at in range(40)}.items() <= answers.items()


def read_rows(paths: Paths, split: str) -> list[dict[str, Any]]:
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(paths.clean / f"{split}.parquet").to_pylist()
    return rows


@pytest.mark.parametrize("card", [None, "# Rows", "---\n{\n---\n", "---\ndataset_info: 3\n---\n", "---\n- 1\n---\n"])
@pytest.mark.parametrize("value", [3, "3", 0.0])
def test_classes_that_nobody_names_are_asked_for(paths: Paths, card: str | None, value: Any) -> None:
    (paths.root / "rows.jsonl").write_text(json.dumps({"text": "my card is lost", "label": value}) + "\n")
    (paths.root / "dataset_info.json").write_text("[]")
    if card is not None:
        (paths.root / "README.md").write_text(card)
    sentence = (
        r"numbers without names; in section clean of params\.yaml write columns: \{labels: \[NAME, NAME, \.\.\.\]\}"
    )
    with pytest.raises(InputError, match=sentence):
        validate(Settings.model_validate({"input": "rows.jsonl"}), paths)
    with pytest.raises(LossError, match=sentence):
        run(Settings.model_validate({"input": "rows.jsonl"}), paths)
    named = {"labels": ["no", "maybe", "yes", "never"]}
    validate(Settings.model_validate({"input": "rows.jsonl", "columns": named}), paths)


def test_names_that_stand_beside_the_data_are_no_input_and_only_shown(paths: Paths) -> None:
    """What lies beside a file does not change the hash of the stage's input, so it must not change the rows."""
    (paths.root / "rows.jsonl").write_text(json.dumps({"text": "my card is lost", "label": 3}) + "\n")
    names = [f"intent_{number}" for number in range(77)]
    (paths.root / "dataset_info.json").write_text(json.dumps({"features": {"label": {"names": names}}}))
    with pytest.raises(InputError, match=r"columns: \{labels: \[intent_0, intent_1, .*, intent_76\]\}"):
        validate(Settings.model_validate({"input": "rows.jsonl"}), paths)


def test_the_first_rows_are_looked_at_before_a_run(paths: Paths) -> None:
    settings = Settings.model_validate({"input": "rows"})
    validate(settings, paths)  # no such folder yet
    (paths.root / "rows").mkdir()
    (paths.root / "rows" / "a.jsonl").write_text("{broken\n" + json.dumps(CHAT))
    validate(settings, paths)
    (paths.root / "rows" / "b.csv").write_text("text,output\nmy card is lost,11\n")
    with pytest.raises(InputError, match=r"'output' looks like an answer.*b\.csv:2.*answer: output"):
        validate(settings, paths)
    validate(Settings.model_validate({"input": "rows", "columns": {"ignored": ["output"]}}), paths)


def test_data_without_a_row_that_can_be_used_is_refused_before_a_run(paths: Paths) -> None:
    settings = Settings.model_validate({"input": "rows.jsonl"})
    picture = {
        "messages": [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "a cat"}]
    }
    for content, message in (
        ("", "the data has no rows"),
        ("\n \n\n", "the data has no rows"),
        (f"{json.dumps(picture)}\n" * 40, r"none of 40 rows can be used \(has_image 40\)"),
        ("{broken\n" * 3, r"none of 3 rows can be used \(unreadable 3\)"),
    ):
        (paths.root / "rows.jsonl").write_text(content)
        with pytest.raises(InputError, match=rf"rows\.jsonl: {message}; set clean\.input to data with rows that can"):
            validate(settings, paths)
    (paths.root / "rows.jsonl").write_text('{"mail": "Where is it?", "intent": "delivery"}\n' * 3)
    with pytest.raises(InputError, match=r"no known format has the keys mail, intent; name the columns in clean\.col"):
        validate(settings, paths)
    (paths.root / "rows.jsonl").write_text('{"mail": "Where is it?", "intent": "delivery"}\n' * 300)
    with pytest.raises(InputError, match=r"none of the first 200 rows of 1 file can be used \(unknown_shape 200\)"):
        validate(settings, paths)
    named = Settings.model_validate({"input": "rows.jsonl", "columns": {"question": "Mail", "answer": "Intent"}})
    with pytest.raises(InputError, match=r"keys mail, intent, and clean\.columns names Mail, Intent; correct c"):
        validate(named, paths)
    (paths.root / "rows.jsonl").write_text(f"{json.dumps(picture)}\n" * 1000 + json.dumps(CHAT))
    validate(settings, paths)  # more rows than are looked at


def test_the_stage_says_what_it_reads_and_what_it_does_not(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**ALPACA, "instruction": f"ask {at} of {at * 7}", "page": at, "label": 3} for at in range(40)]
    ledger = cleaned(paths, rows, columns={"ignored": ["label"]})
    read = {"instruction": "question", "output": "answer"}
    assert ledger["columns"] == {"alpaca": {"not_read": {"label": 40, "page": 40}, "read": read, "rows": 40}}
    line = "clean: 40 rows of the shape alpaca; read: instruction (question), output (answer); not read: label, page"
    assert line in capsys.readouterr().out
