"""What becomes of rows because of other rows: samples, groups, clusters, conflicts, passages of the test."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.paths import Paths
from tests.tasks.clean.test_clean import chat, cleaned, put


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "input").mkdir()
    put(Paths(tmp_path), "exam.jsonl", chat("what is asked in the exam", split="test"))
    return Paths(tmp_path)


def asked(rows: list[dict[str, Any]]) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]


def reasons(tables: dict[str, list[dict[str, Any]]]) -> list[tuple[str, int]]:
    return [(row["reason"], row["line"]) for row in tables["left_out"]]


def test_a_mix_takes_shares_and_caps_and_more_rows_never_change_the_choice(paths: Paths) -> None:
    rows = [chat(f"number {n}", split="train") for n in range(300)]
    put(paths, "half.jsonl", *rows[:100])
    put(paths, "few.jsonl", *rows[100:200])
    put(paths, "whole.jsonl", *rows[200:210])
    mix = [{"files": "half*", "share": 0.5}, {"files": "few*", "cap": 7}]
    first = cleaned(paths, mix=mix, validation_share=0, max_loss=0)
    taken = {name: {row for row in asked(first["train"]) if int(row.split()[1]) // 100 == at} for at, name in
             enumerate(["half", "few", "whole"])}  # fmt: skip
    assert 30 < len(taken["half"]) < 70
    assert (len(taken["few"]), len(taken["whole"])) == (7, 10)
    assert {reason for reason, _ in reasons(first)} == {"not_sampled"}
    put(paths, "half.jsonl", *rows[210:300], *rows[:100])
    again = set(asked(cleaned(paths, mix=mix, validation_share=0)["train"]))
    assert taken["half"] == {row for row in again if int(row.split()[1]) < 100}


def test_a_part_without_files_is_refused(paths: Paths) -> None:
    with pytest.raises(Exception, match=r"clean\.mix: no file in .* matches 'none\*'; there are exam\.jsonl"):
        cleaned(paths, mix=[{"files": "none*"}])


def test_a_group_is_never_in_two_splits_and_adding_rows_moves_none(paths: Paths) -> None:
    rows = [chat(f"row {n} of the file", document=f"document {n % 40}") for n in range(200)]
    put(paths, "rows.jsonl", *rows[:150])
    first = cleaned(paths, group="document", validation_share=0.3, near_duplicate=None)
    put(paths, "rows.jsonl", *rows)
    second = cleaned(paths, group="document", validation_share=0.3, near_duplicate=None)
    where = {row["source"] + text: split for split in ("train", "validation") for row, text in
             zip(second[split], asked(second[split]), strict=True)}  # fmt: skip
    for split in ("train", "validation"):
        documents = {int(text.split()[1]) % 40 for text in asked(second[split])}
        assert 5 < len(documents) < 35
        assert {where[row["source"] + text] for row, text in zip(first[split], asked(first[split]), strict=True)} == {
            split
        }
    both = [{int(text.split()[1]) % 40 for text in asked(second[split])} for split in ("train", "validation")]
    assert not both[0] & both[1]


LONG = "please explain to me in all detail how one would go about this"


def test_of_a_cluster_the_row_with_the_longest_answer_stays(paths: Paths) -> None:
    put(
        paths,
        "rows.jsonl",
        chat(f"{LONG} now", "short", split="train"),
        chat(f"{LONG} today", "a longer answer", split="train"),
        chat("nothing like it", split="train"),
    )
    kept = cleaned(paths, validation_share=0, near_duplicates_within=0.6, near_duplicate=None)
    assert asked(kept["train"]) == [f"{LONG} today", "nothing like it"]
    assert reasons(kept) == [("near_duplicate", 1)]
    (cluster,) = json.loads((paths.clean / "profile.json").read_text())["clusters"]
    assert cluster == {"rows": 2, "example": f"{LONG} today\na longer answer"}


def test_a_cluster_is_drawn_into_one_split(paths: Paths) -> None:
    verbs = ["alpha", "bravo", "charlie", "delta", "echo", "golf", "hotel", "india", "kilo", "lima", "mike", "oscar"]
    rows = [chat(f"{verb} {verb}s {verb}ed {verb}ing {LONG} {last}") for verb in verbs for last in ("now", "today")]
    put(paths, "rows.jsonl", *rows)
    kept = cleaned(paths, validation_share=0.5, near_duplicates_within=0.9, near_duplicate=None)
    assert (len(kept["train"]) + len(kept["validation"]), len(kept["left_out"])) == (len(verbs), len(verbs))
    assert kept["train"]
    assert kept["validation"]


@pytest.mark.parametrize("what", ["keep", "drop"])
def test_conflicting_answers_are_counted_or_leave(paths: Paths, what: str) -> None:
    put(
        paths,
        "rows.jsonl",
        chat("how many?", "one", split="train"),
        chat("How many", "two", split="train"),
        chat("how few?", "one", split="train"),
    )
    kept = cleaned(paths, validation_share=0, conflicts=what)
    reported = json.loads((paths.clean / "ledger.json").read_text())["reported"]
    assert reported == ({"conflicting_answers": 2} if what == "keep" else {})
    assert reasons(kept) == ([] if what == "keep" else [("conflicting_answers", 1), ("conflicting_answers", 2)])


@pytest.mark.parametrize("what", ["keep", "drop"])
def test_conflicting_answers_of_held_out_rows_are_counted_and_stay(paths: Paths, what: str) -> None:
    rows = [chat("how many?", "one"), chat("How many", "two"), chat("how few?", "one")]
    put(paths, "rows.jsonl", *({**row, "split": "test"} for row in rows), chat("how far?", "a mile", split="train"))
    kept = cleaned(paths, validation_share=0, conflicts=what, duplicates=False, near_duplicate=None)
    assert (len(kept["test"]), len(kept["left_out"])) == (4, 0)
    reported = json.loads((paths.clean / "ledger.json").read_text())["reported"]
    assert reported == {"conflicting_answers_of_test": 2}
    lines = pq.read_table(paths.clean / "reported.parquet").to_pylist()
    assert [(line["split"], line["line"]) for line in lines] == [("test", 1), ("test", 2)]


def test_a_passage_of_the_test_is_not_trained_on(paths: Paths) -> None:
    passage = "the quick brown fox jumps over the lazy dog and runs far away"
    put(paths, "more.jsonl", chat(f"translate this {passage} into French", split="test"))
    rows = [chat(f"a {n} {' '.join(str(n * k) for k in range(20))} {text}", split="train") for n, text in
            enumerate([passage, passage[4:]])]  # fmt: skip
    put(paths, "rows.jsonl", *rows)
    assert reasons(cleaned(paths, validation_share=0)) == [("passage_of_test", 1)]
    assert reasons(cleaned(paths, validation_share=0, passage=None)) == []


def test_questions_of_a_benchmark_are_not_trained_on(paths: Paths) -> None:
    """Like one of them, with one of its choices, or with a passage of one; a row of the test may ask what it likes."""
    passage = "why do the leaves of some trees turn red in autumn and fall before the first snow"
    asked: list[dict[str, Any]] = [
        {"question": "Which gas do plants take in?", "choices": ["oxygen", "helium"]},
        {"question": passage},
        {"question": "How many legs has a spider?"},
    ]
    paths.scoring.mkdir(parents=True)
    lines = [json.dumps({"choices": ["a", "b"], **one}) for one in asked]
    (paths.scoring / "asked.jsonl").write_text("\n".join(lines))
    (paths.scoring / "task.yaml").write_text(
        f"task: plants\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {paths.scoring}/asked.jsonl}}}}\n"
        'test_split: test\noutput_type: multiple_choice\ndoc_to_text: "{{question}}"\ndoc_to_choice: choices\n'
        "doc_to_target: 0\n"
    )
    texts = ["which gas do plants take in", "Which gas do plants take in? Helium!", "Which gas do people take in?",
             f"{' '.join(str(n) for n in range(30))} {passage}"]  # fmt: skip
    put(paths, "rows.jsonl", *[chat(text, split="train") for text in texts])
    put(paths, "more.jsonl", chat("How many legs has a spider?", split="test"))
    assert reasons(cleaned(paths, validation_share=0, near_duplicate=0.9)) == []
    tables = cleaned(paths, validation_share=0, near_duplicate=0.9, benchmarks=["plants"])
    assert sorted(reasons(tables)) == [
        ("near_duplicate_of_benchmark", 1),
        ("near_duplicate_of_benchmark", 2),
        ("passage_of_benchmark", 4),
    ]
    assert len(tables["test"]) == 2, "the fixture's, and one that asks what the benchmark asks"


def test_rows_of_one_id_are_told_apart_where_duplicates_stay(paths: Paths) -> None:
    put(paths, "rows.jsonl", *[chat("the same", split="train")] * 3)
    kept = cleaned(paths, validation_share=0, duplicates=False)
    first, *others = [row["id"] for row in kept["train"]]
    assert others == [f"{first}-2", f"{first}-3"]


def test_every_record_is_counted_whatever_comes(paths: Paths) -> None:
    kinds = [
        "{broken", "[]", '"text"', "\\ud800", {"messages": []}, {"text": "\ud800"}, {"text": 1}, {},
        chat("ask", split="nonsense"), chat("ask", split="train"), chat("ask", split="dev"), {"text": "a text"},
        {"prompt": "a", "chosen": "b", "rejected": "c", "split": "train"}, {"messages": [None]},
        chat("odd", source="\ud800", slice="\udfff", split="train"), chat("heavy", weight=10**400),
        '{"messages": [{"role": "user", "content": "a", "x": ' + "[" * 900 + "]" * 900 + "}]}",
    ]  # fmt: skip
    put(paths, "rows.jsonl", *(kinds[n % len(kinds)] for n in range(500)))
    tables = cleaned(paths, validation_share=0.2)  # asserts that in = out + left
    assert sum(map(len, tables.values())) == 501


def drawn(tables: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    return {text: split for split in ("train", "validation", "test") for text in asked(tables[split])}


def test_each_stratum_keeps_its_proportion_and_added_rows_move_few_and_in_one_direction(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    sizes = {"forum": 400, "mail": 100, "wiki": 20}
    rows = {name: [chat(f"{name} asks number {n}", source=name) for n in range(2 * size)] for name, size in
            sizes.items()}  # fmt: skip
    first_half = [row for name, size in sizes.items() for row in rows[name][:size]]
    put(paths, "rows.jsonl", *first_half)
    options: dict[str, Any] = {
        "stratify": "source", "test_share": 0.1, "validation_share": 0.05, "near_duplicate": None, "passage": None
    }  # fmt: skip
    before = drawn(cleaned(paths, **options))
    for name, size in sizes.items():
        mine = [split for text, split in before.items() if text.startswith(name)]
        assert abs(mine.count("test") - 0.1 * size) < 1
        assert abs(mine.count("test") + mine.count("validation") - 0.15 * size) < 1
    put(paths, "rows.jsonl", *reversed(first_half))
    assert drawn(cleaned(paths, **options)) == before, "the order has no effect"
    put(paths, "rows.jsonl", *first_half, *rows["forum"][400:])
    after = drawn(cleaned(paths, **options))
    moved = {(text.split()[0], before[text], after[text]) for text in before if before[text] != after[text]}
    assert {name for name, _, _ in moved} <= {"forum"}
    order = {"test": 0, "validation": 1, "train": 2}
    borders = [{old < new for _, *both in moved for old, new in [[order[one] for one in both]]
                if min(old, new) <= border < max(old, new)} for border in (0, 1)]  # fmt: skip
    assert all(len(directions) <= 1 for directions in borders)
    assert sum(before[text] != after[text] for text in before) < 20


def test_a_group_stays_whole_when_strata_keep_their_proportions(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    rows = [chat(f"part {n} of it", source=f"source {n % 3}", document=n // 7) for n in range(700)]
    put(paths, "rows.jsonl", *rows)
    tables = cleaned(paths, stratify="source", group="document", test_share=0.2, near_duplicate=None, passage=None)
    where = drawn(tables)
    documents = [{where[f"part {n} of it"] for n in range(7 * d, 7 * d + 7)} for d in range(100)]
    assert all(len(splits) == 1 for splits in documents)
    assert abs(len(tables["test"]) - 140) <= 7


def test_answers_that_are_meant_to_differ_are_no_conflict(paths: Paths) -> None:
    put(
        paths,
        "pairs.jsonl",
        *({"prompt": "which one?", "chosen": f"good {n}", "rejected": f"bad {n}", "split": "train"} for n in range(3)),
        *({"prompt": "that one?", "completion": f"so {n}", "label": n > 1, "split": "train"} for n in range(3)),
        {"text": "which one?", "split": "train"},
        chat("really?", "yes", split="train"),
        chat("really?", "no", split="train"),
    )
    cleaned(paths, near_duplicate=None)
    ledger = json.loads((paths.clean / "ledger.json").read_text())
    assert ledger["reported"]["conflicting_answers"] == 2
    dropped = cleaned(paths, near_duplicate=None, conflicts="drop", max_loss=1)
    assert len(dropped["train"]) == 7
    assert {reason for reason, _ in reasons(dropped)} == {"conflicting_answers"}
