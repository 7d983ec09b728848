"""The stage `clean`: every shape and file kind in, canonical rows out, every row accounted for, bad input refused."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from tasks.clean import formats, read
from tasks.clean.files import sources
from tasks.clean.settings import Settings, Splits
from tasks.clean.stage import run
from tasks.core.errors import InputError, LossError
from tasks.core.paths import Paths
from tasks.dedup import memmap
from tasks.dedup.similarity import jaccard, words
from tasks.rows.canonical import dialogue, row_id

DOCKER = Path(__file__).parents[4] / "shared" / "data" / "docker"


def chat(request: str, answer: str = "done", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": request}, {"role": "assistant", "content": answer}], **more}


def put(paths: Paths, name: str, *rows: Any) -> None:
    """Write rows as JSON Lines below `input/`; texts stand as they are."""
    path = paths.root / "input" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def cleaned(paths: Paths, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """Run the stage on `input/` and read what it wrote; the ledger is checked against the files on the way."""
    run(Settings.model_validate({"input": "input", "max_loss": 1, **settings}), paths)
    tables = {name: parquet.read_table(paths.clean / f"{name}.parquet").to_pylist() for name in OUT}
    ledger = json.loads((paths.clean / "ledger.json").read_text())
    assert ledger["in"] + ledger.get("repeated", 0) == sum(map(len, tables.values()))
    assert ledger["out"] == {name: len(tables[name]) for name in OUT[:3] if tables[name]}
    assert sum(ledger["left"].values()) == len(tables["left_out"])
    return tables


OUT = ("train", "validation", "test", "left_out")


def test_a_row_keeps_its_split_slice_and_source_and_gets_a_stable_id(paths: Paths) -> None:
    put(
        paths,
        "rows.jsonl",
        chat("a b c", split="train", source="me"),
        chat("d e f", split="test", slice="new_phrasing"),
    )
    put(paths, "ledger.json", "{not rows}")
    tables = cleaned(paths)
    (train,), (test,) = tables["train"], tables["test"]
    assert train["source"] == "me"
    assert train["id"] == row_id("me", chat("a b c")["messages"])
    assert dialogue(train) == chat("a b c")["messages"]
    assert train["text"] is None
    assert (test["source"], test["slice"], test["split"]) == ("rows.jsonl", "new_phrasing", "test")


SHAPES: list[tuple[dict[str, Any], str]] = [
    (chat("ask", "answer"), "messages"),
    ({"instruction": "ask", "input": "", "output": "answer"}, "alpaca"),
    ({"instruction": "ask", "response": "answer"}, "alpaca"),
    ({"conversations": [{"from": "human", "value": "ask"}, {"from": "gpt", "value": "answer"}]}, "sharegpt"),
    ({"prompt": "ask", "completion": "answer"}, "prompt_completion"),
    ({"prompt": chat("ask")["messages"][:1], "completion": chat("", "answer")["messages"][1:]}, "prompt_completion"),
]


@pytest.mark.parametrize(("row", "shape"), SHAPES)
def test_every_shape_becomes_the_same_messages(paths: Paths, row: dict[str, Any], shape: str) -> None:
    put(paths, "rows.jsonl", {**row, "split": "train"}, chat("something else", split="test"))
    for asked in ("auto", shape) if shape == "messages" else ("auto",):
        assert dialogue(cleaned(paths, shape=asked)["train"][0]) == chat("ask", "answer")["messages"]
    assert json.loads((paths.clean / "ledger.json").read_text())["shapes"][shape] >= 1


def test_an_alpaca_input_follows_its_instruction_or_stands_alone(paths: Paths) -> None:
    put(paths, "rows.jsonl", {"instruction": "translate", "input": "guten Tag", "output": "good day", "split": "train"})
    put(paths, "test.jsonl", chat("other", split="test"))
    both, alone = cleaned(paths, validation_share=0), cleaned(paths, validation_share=0, alpaca_instruction=False)
    assert both["train"][0]["messages"][0]["content"] == "translate\n\nguten Tag"
    assert alone["train"][0]["messages"][0]["content"] == "guten Tag"


def test_texts_and_tools_keep_what_they_have(paths: Paths) -> None:
    calls: list[dict[str, Any]] = [{"id": "1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}]
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "list"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "a.txt", "tool_call_id": "1"},
        {"role": "assistant", "content": "a.txt"},
    ]
    put(paths, "rows.jsonl", {"text": "only a text"}, {"messages": turns, "tools": [{"name": "ls"}]})
    put(paths, "test.jsonl", chat("other", split="test"))
    text, tools = sorted(cleaned(paths, validation_share=0)["train"], key=lambda row: row["messages"] is not None)
    assert (text["text"], text["messages"], text["tools"]) == ("only a text", None, None)
    assert json.loads(tools["tools"]) == [{"type": "function", "function": {"name": "ls"}}]
    assert dialogue(tools) == [{**turn, "content": turn["content"] or ""} for turn in turns]


def test_json_csv_and_parquet_are_read_and_csv_values_stay_text(paths: Paths) -> None:
    import pyarrow as pa

    folder = paths.root / "input"
    (folder / "a.json").write_text(json.dumps([chat("from json")]))
    (folder / "b.csv").write_text('prompt,completion\n007,NA\n"two, words",null\nragged\n')
    parquet.write_table(pa.Table.from_pylist([chat("from parquet")]), folder / "c.parquet")
    (folder / "notes.md").write_text("not data")
    put(paths, "test.jsonl", chat("other", split="test"))
    tables = cleaned(paths, validation_share=0)
    texts = [[turn["content"] for turn in row["messages"]] for row in tables["train"]]
    assert texts == [["from json", "done"], ["007", "NA"], ["two, words", "null"], ["from parquet", "done"]]
    assert tables["left_out"] == [{"reason": "ragged_line", "file": "b.csv", "line": 4, "row": '["ragged"]'}]


FAULTS: list[tuple[Any, str]] = [
    ("{broken", "parse_error"),
    ("[1, 2]", "not_an_object"),
    ({"question": "?"}, "unknown_shape"),
    ({"messages": "hello"}, "unknown_shape"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "unknown_role"),
    ({"messages": [{"role": "user", "content": 7}]}, "not_text"),
    (chat("   "), "empty_turn"),
    ({"text": " "}, "empty_turn"),
    (chat("ask", ""), "no_answer"),
    (
        {"messages": [*chat("ask", "b")["messages"][:1], {"role": "assistant", "content": "b", "tool_calls": 3}]},
        "bad_tool_call",
    ),
    (
        {"messages": [*chat("ask", "b")["messages"][:1], {"role": "assistant", "content": "b", "tool_calls": [3]}]},
        "bad_tool_call",
    ),
    ({"messages": [{"role": "user", "content": "ask"}]}, "no_answer"),
    ({"messages": []}, "no_answer"),
    ({"messages": [*chat("a")["messages"], chat("b")["messages"][1]]}, "role_order"),
    ({"messages": [chat("a")["messages"][1]]}, "role_order"),
    (chat("x" * 300), "long_row"),
    ('{"text": "half a pair \\ud800"}', "bad_unicode"),
    (chat("ask", split="exam"), "unknown_split"),
]


def test_each_kind_of_bad_row_leaves_with_its_reason_file_and_line(paths: Paths) -> None:
    put(paths, "bad.jsonl", *(row for row, _ in FAULTS))
    put(paths, "good.jsonl", chat("train on this", split="train"), chat("and test that", split="test"))
    left = cleaned(paths, quality={"row": {"action": "drop", "max_characters": 200}})["left_out"]
    assert [(row["line"], row["reason"]) for row in left] == [(n, why) for n, (_, why) in enumerate(FAULTS, 1)]
    assert {row["file"] for row in left} == {"bad.jsonl"}
    assert left[0]["row"] == "{broken"


def test_duplicates_leave_from_training_first(paths: Paths) -> None:
    put(
        paths,
        "rows.jsonl",
        chat("stop the web server", split="train"),
        chat("stop the web server", split="train"),
        chat("Stop the web server!", "something else", split="train"),
        chat("start the other one", split="train"),
        chat("start the other one", split="validation"),
        chat("list it", split="train"),
        chat("list it", "another answer", split="test"),
    )
    tables = cleaned(paths, near_duplicate=None)
    assert [row["messages"][0]["content"] for row in tables["train"]] == ["stop the web server", "Stop the web server!"]
    assert len(tables["validation"]) == len(tables["test"]) == 1
    reasons = {(row["line"], row["reason"]) for row in tables["left_out"]}
    assert reasons == {(2, "duplicate"), (4, "duplicate_across_splits"), (6, "duplicate_across_splits")}
    kept = cleaned(paths, near_duplicate=None, duplicates=False)["train"]
    assert len(kept) == 5
    assert len({row["id"] for row in kept}) == 5


def test_near_duplicates_of_the_test_leave_and_only_those(paths: Paths) -> None:
    """Against every pair compared one by one, over random texts."""
    source = random.Random(0)
    vocabulary = [f"w{number}" for number in range(30)]

    def text() -> str:
        return " ".join(source.sample(vocabulary[: source.choice((9, 30))], source.randint(4, 9)))

    tests, trains = [text() for _ in range(60)], [text() for _ in range(600)]
    put(paths, "test.jsonl", *(chat(one) for one in tests))
    put(paths, "train.jsonl", *(chat(one, str(number)) for number, one in enumerate(trains)))
    splits = {"train": ["train.jsonl"], "test": ["test.jsonl"]}
    kept = cleaned(paths, splits=splits, near_duplicate=0.7, duplicates=False, validation_share=0)["train"]
    bags = [set(words(test)) for test in tests]
    expected = [one for one in trains if all(jaccard(set(words(one)), bag) < 0.7 for bag in bags)]
    assert 0 < len(expected) < 600
    assert [row["messages"][0]["content"] for row in kept] == expected


def test_files_make_splits_and_validation_comes_from_training_by_hash(paths: Paths) -> None:
    put(paths, "deep/my_train.jsonl", *(chat(f"request {n} {n * n}") for n in range(400)))
    put(paths, "my_test.jsonl", chat("quite different"))
    put(paths, "extra.jsonl", chat("not asked for"))
    splits = {"train": ["*train.jsonl"], "test": ["my_test.jsonl"]}
    tables = cleaned(paths, splits=splits, validation_share=0.2)
    assert 0.1 < len(tables["validation"]) / 400 < 0.3
    assert len(tables["train"]) + len(tables["validation"]) == 400
    before = {row["id"] for row in tables["validation"]}
    put(paths, "deep/my_train.jsonl", *(chat(f"request {n} {n * n}") for n in range(500)))
    after = {row["id"] for row in cleaned(paths, splits=splits, validation_share=0.2)["validation"]}
    assert before < after  # rows that come never move those that were there


def test_two_runs_write_the_same_bytes_in_blocks_of_any_size(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = random.Random(0)
    texts = [" ".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=12)) for _ in range(150)]
    texts += [f"{text} {source.choice('xyz')}" for text in texts[:60]] + texts[20:40]
    rows = [chat(text, "so " * source.randint(1, 9)) for text in texts]
    put(paths, "rows.jsonl", *rows, *source.sample(rows, 30), "{broken")
    settings: dict[str, Any] = {"test_share": 0.3, "near_duplicates_within": 0.8, "mix": [{"files": "*", "cap": 240}]}
    tables = cleaned(paths, **settings)
    left = {row["reason"] for row in tables["left_out"]}
    assert left >= {"parse_error", "duplicate", "near_duplicate", "not_sampled"}
    first = {path.name: path.read_bytes() for path in paths.clean.iterdir()}
    monkeypatch.setattr(memmap, "BLOCK", 7)
    cleaned(paths, **settings)
    assert first == {path.name: path.read_bytes() for path in paths.clean.iterdir()}
    assert set(first) == {*(f"{name}.parquet" for name in OUT), "ledger.json", "profile.json", "reported.parquet"}
    assert all(str(tmp_path).encode() not in content for content in first.values())
    rows_again = [source.name for source in sources(paths.clean, Splits())]  # as `temper look data/clean` reads it
    assert rows_again == ["test.parquet", "train.parquet", "validation.parquet"]


def test_input_that_cannot_be_used_is_refused_with_what_to_do(paths: Paths) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such file or folder.*clean\.input"):
        cleaned(paths, input="nowhere")
    with pytest.raises(InputError, match="no data file"):
        cleaned(paths)
    put(paths, "rows.jsonl")
    with pytest.raises(InputError, match="no rows in 1 data file;"):
        cleaned(paths)
    put(paths, "rows.jsonl", chat("only this", split="train"))
    with pytest.raises(InputError, match=r"no test rows.*clean\.test_share"):
        cleaned(paths, validation_share=0)
    with pytest.raises(InputError, match=r"clean\.splits\.test: no file.*'\*exam\*'; there are rows\.jsonl"):
        cleaned(paths, splits={"test": ["*exam*"]})
    with pytest.raises(InputError, match=r"matched by clean\.splits\.train and clean\.splits\.test"):
        cleaned(paths, splits={"train": ["rows.jsonl"], "test": ["*.jsonl"]})
    put(paths, "rows.jsonl", "{broken", "{again")
    with pytest.raises(InputError, match=r"none of 2 rows is left.*rows\.jsonl:1 \(parse_error\)"):
        cleaned(paths)
    assert not paths.clean.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b"\x7fELF\x00\x01\x02\n", "a program"),
        ("rows.jsonl", b"\x01\x00\x01\x02\n", "NUL bytes"),
        ("rows.jsonl", b"PK\x03\x04 and more", "a zip archive; unpack it"),
        ("rows.jsonl", "{}".encode("utf-16"), "iconv -f UTF-16"),
        ("rows.jsonl.gz", b"\x1f\x8b and no more", "cannot be unpacked as gzip"),
        ("rows.csv", b"a,a\n1,2\n", "the header has the column 'a' twice"),
        ("rows.json", b"{nonsense", "not valid JSON"),
        ("rows.parquet", b"PAR0", "not a readable Parquet"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    paths: Paths, name: str, content: bytes, message: str
) -> None:
    (paths.root / "input" / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        cleaned(paths)


def test_a_zip_bomb_and_a_line_without_end_do_not_fill_the_memory(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "ROOM", 2**20)
    bomb = paths.root / "input" / "bomb.jsonl.gz"
    bomb.write_bytes(gzip.compress(b" " * 2**24))
    with pytest.raises(InputError, match=r"bomb\.jsonl\.gz: decompresses to more than 300 times its size"):
        cleaned(paths)
    bomb.unlink()
    monkeypatch.setattr(read, "LONGEST", 160)
    put(paths, "rows.jsonl", chat("ask"), chat("x" * 200), chat("the end", split="test"))
    (gone,) = cleaned(paths, validation_share=0)["left_out"]
    assert (gone["reason"], gone["line"]) == ("too_long_line", 2)
    assert gone["row"].endswith(" bytes)")


@pytest.mark.parametrize("compress", [gzip.compress, lambda data: bytes(pyarrow.compress(data, "zstd", asbytes=True))])
def test_content_decides_and_not_the_name(paths: Paths, compress: Any) -> None:
    folder = paths.root / "input"
    lines = "".join(json.dumps(chat(f"question {n}", split="train")) + "\n" for n in range(3)).encode()
    (folder / "lines.json").write_bytes(lines)
    (folder / "packed.csv").write_bytes(compress(lines.replace(b"question", b"packed")))
    (folder / "document.jsonl").write_text(json.dumps([chat("listed", split="test")], indent=1).replace("[", "\n[", 1))
    asked = {row["messages"][0]["content"] for rows in cleaned(paths).values() for row in rows}
    assert asked == {"question 0", "question 1", "question 2", "packed 0", "packed 1", "packed 2", "listed"}


def test_a_table_with_every_column_and_nested_nulls_keeps_each_row_what_it_is(paths: Paths) -> None:
    """As Arrow writes rows of several shapes: what a row does not have is null, or an object of nulls."""
    none = {"name": None, "arguments": None}
    call = {"name": "ls", "arguments": "{}"}
    turn = {"role": "user", "content": "list", "function_call": none, "name": None}
    rows: list[dict[str, Any]] = [
        {"messages": [turn, {**turn, "role": "assistant", "content": "a.txt"}], "split": "train"},
        {"prompt": "ask", "chosen": "yes", "rejected": "no", "split": "train"},
        {"prompt": "ask", "completion": "yes", "split": "train"},
        {"text": "a text", "split": "test"},
        {"messages": [turn, {**turn, "role": "assistant", "content": None, "function_call": call},
                      {**turn, "role": "tool", "content": "a"}, {**turn, "role": "assistant", "content": "a"}],
         "split": "train"},
        {"messages": [None], "split": "train"},
        {"messages": [{**turn, "content": None}, {**turn, "role": "assistant"}], "split": "train"},
        {"messages": None, "split": None},
        {"instruction": "ask", "output": None},
    ]  # fmt: skip
    columns = sorted({key for row in rows for key in row})
    table = pyarrow.Table.from_pylist([{key: row.get(key) for key in columns} for row in rows])
    parquet.write_table(table, paths.root / "input" / "rows.parquet")
    tables = cleaned(paths, duplicates=False, near_duplicate=None)
    plain, preference, completion, tools = tables["train"]
    assert dialogue(plain) == [{"role": "user", "content": "list"}, {"role": "assistant", "content": "a.txt"}]
    assert (preference["chosen"][0]["content"], preference["messages"]) == ("yes", None)
    assert dialogue(completion) == chat("ask", "yes")["messages"]
    openai_call = {"type": "function", "function": call}
    assert (dialogue(tools) or [])[1] == {"role": "assistant", "content": "", "tool_calls": [openai_call]}
    assert tables["test"][0]["text"] == "a text"
    assert [(row["line"], row["reason"]) for row in tables["left_out"]] == [
        (6, "unknown_shape"), (7, "empty_turn"), (8, "empty_turn"), (9, "empty_turn")
    ]  # fmt: skip


def test_every_second_line_broken_mixed_encodings_and_equal_ids(paths: Paths) -> None:
    lines = [json.dumps(chat(f"caf\u00e9 {n}", id="same", split="train"), ensure_ascii=False) for n in range(4)]
    encoded = [line.encode(("utf-8", "latin-1")[n % 2]) + b"\n{broken\n" for n, line in enumerate(lines)]
    (paths.root / "input" / "rows.jsonl").write_bytes(b"".join(encoded))
    put(paths, "test.jsonl", chat("other", id="same", split="test"))
    tables = cleaned(paths, near_duplicate=None)
    assert [row["messages"][0]["content"] for row in tables["train"]] == ["caf\u00e9 0", "caf\u00e9 2"]
    assert [(row["line"], row["reason"]) for row in tables["left_out"]] == [
        (2, "parse_error"), (3, "bad_encoding"), (4, "parse_error"),
        (6, "parse_error"), (7, "bad_encoding"), (8, "parse_error"),
    ]  # fmt: skip
    assert len({row["id"] for rows in (tables["train"], tables["test"]) for row in rows}) == 3


def test_rows_that_lack_what_a_named_shape_has_leave(paths: Paths) -> None:
    put(paths, "test.jsonl", {"prompt": "a", "chosen": "b", "rejected": "c", "label": True, "split": "test"})
    put(paths, "rows.jsonl", {"prompt": "only", "split": "train"})
    for shape in ("preference", "kto"):
        with pytest.raises(InputError, match=r"none of 2 rows is left for training.*rows\.jsonl:1"):
            cleaned(paths, shape=shape, columns={"ignored": [] if shape == "kto" else ["label"]})


def test_a_saved_dataset_is_read_by_its_splits(paths: Paths) -> None:
    import datasets

    datasets_by_split = {
        split: datasets.Dataset.from_list([chat(f"{split} {n}") for n in range(2)]) for split in ("train", "test")
    }
    datasets.DatasetDict(datasets_by_split).save_to_disk(paths.root / "input")
    tables = cleaned(paths, validation_share=0)
    assert {split: len(rows) for split, rows in tables.items()} == {
        "train": 2,
        "validation": 0,
        "test": 2,
        "left_out": 0,
    }


def test_too_many_losses_stop_the_stage_with_numbers_and_places(paths: Paths) -> None:
    put(paths, "rows.jsonl", "{broken", chat("train", split="train"), chat("this is it", split="test"))
    with pytest.raises(
        LossError, match=r"1 of 3 rows \(33\.3%\).*clean\.max_loss = 0\.1.*rows\.jsonl:1 \(parse_error\)"
    ):
        cleaned(paths, max_loss=0.1)
    assert not paths.clean.exists()


@pytest.mark.skipif(not DOCKER.is_dir(), reason="the public data sets are not beside the checkout (../shared/data)")
def test_real_docker_commands_by_an_overlay(tmp_path: Path) -> None:
    splits = {"train": ["docker_commands_train.jsonl"], "test": ["docker_commands_test.jsonl"]}
    tables = cleaned(Paths(tmp_path), input=str(DOCKER), splits=splits, alpaca_instruction=False, max_loss=0.2)
    assert len(tables["test"]) == 275
    assert len(tables["validation"]) > 40
    tests = [set(words(row["messages"][0]["content"])) for row in tables["test"]]
    for row in tables["train"] + tables["validation"]:
        own = set(words(row["messages"][0]["content"]))
        assert all(jaccard(own, test) < 0.8 for test in tests)


def test_a_quotation_that_is_never_closed_is_refused_before_it_swallows_rows(paths: Paths) -> None:
    rows = [f"ask {number},say {number}" for number in range(9)]
    (paths.root / "input" / "a.csv").write_text("\n".join(["prompt,completion", *rows[:4], 'ask,"say', *rows[4:]]))
    with pytest.raises(InputError, match=r"a\.csv: a quotation mark in the row at line 6 .* 5 lines below"):
        cleaned(paths, test_share=0.5)
    assert not paths.clean.exists()


def test_rows_of_no_known_shape_are_told_with_their_keys(paths: Paths) -> None:
    put(paths, "a.jsonl", {"frage": "ask", "antwort": "say"})
    with pytest.raises(
        LossError,
        match=r"unknown_shape 1\..*has the keys frage, antwort; name the columns in clean\.columns, such as",
    ):
        cleaned(paths, max_loss=0)


@pytest.mark.parametrize("name", ["group", "stratify"])
def test_a_key_to_draw_by_that_no_row_has_is_refused(paths: Paths, name: str) -> None:
    put(paths, "a.jsonl", chat("ask", document="x"), chat("other", split="test"))
    assert cleaned(paths, validation_share=0, **{name: "document"})["train"]
    with pytest.raises(InputError, match=rf"clean\.{name}: no row in .* has the key 'documnet'"):
        cleaned(paths, **{name: "documnet"})


def test_a_table_with_texts_that_are_no_utf8_loses_only_those_rows(paths: Paths) -> None:
    import pyarrow as pa

    asked = pa.array([b"ask", b"\xff\xfe", b"ask more"], pa.binary())
    texts = pa.StringArray.from_buffers(3, *asked.buffers()[1:])
    parquet.write_table(pa.table({"prompt": texts, "completion": ["a", "b", "c"]}), paths.root / "input" / "a.parquet")
    put(paths, "test.jsonl", chat("other", split="test"))
    tables = cleaned(paths, validation_share=0)
    assert [row["messages"][0]["content"] for row in tables["train"]] == ["ask", "ask more"]
    (left,) = tables["left_out"]
    assert (left["reason"], left["line"], json.loads(left["row"])) == ("bad_encoding", 2, {"completion": "b"})


def test_a_list_that_nests_beyond_reason_is_refused_before_it_fills_the_memory(paths: Paths) -> None:
    (paths.root / "input" / "a.json").write_text("[" * 6000)
    with pytest.raises(InputError, match=r"a\.json: lists or objects nest deeper than 5000 levels"):
        cleaned(paths)
    (paths.root / "input" / "a.json").write_text(json.dumps([chat("why " + "[" * 6000), chat("other", split="test")]))
    assert cleaned(paths, validation_share=0)["train"]


@pytest.mark.parametrize("target", ["gone.jsonl", "link.jsonl"])
def test_a_link_that_leads_nowhere_is_no_file_to_pass_over(paths: Paths, target: str) -> None:
    put(paths, "rows.jsonl", chat("train", split="train"), chat("this is it", split="test"))
    link = paths.root / "input" / "link.jsonl"
    link.symlink_to(link.with_name(target))
    with pytest.raises(InputError, match=r"input/link\.jsonl: this link leads to no file; restore the file"):
        cleaned(paths)


def test_a_folder_without_data_is_told_with_what_it_holds(paths: Paths) -> None:
    (paths.root / "input" / "rows.xlsx").touch()
    with pytest.raises(InputError, match=r"no data file in this folder \(there are rows\.xlsx\)"):
        cleaned(paths)
    with pytest.raises(InputError, match=r"clean\.input takes no patterns"):
        cleaned(paths, input="input/*.jsonl")
