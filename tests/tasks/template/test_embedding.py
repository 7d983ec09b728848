"""Rows for embeddings as token ids: those of sentence-transformers, told apart, and accounted for when they are cut."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.core.errors import LossError
from tasks.core.paths import Paths
from tasks.models.embedder import Embedder
from tasks.template import stage as template
from tasks.template.embedding import TextTemplater
from tasks.template.settings import Embed
from tasks.training.rows import load, texts_of
from tests.tasks import paired, tiny

CODER = tiny.tokenizer()


def turn(role: str, content: str, extra: str | None = None) -> dict[str, Any]:
    return {"role": role, "content": content, "extra": extra}


def outcome(question: str, answer: str, extra: str | None = None, over: Any = "error", length: int = 64) -> Any:
    """What becomes of a row; a text has at most `length` tokens."""
    settings = template.Settings(embed=Embed(), over_length=over)
    templater = TextTemplater(CODER, settings, Embedder("mean", True, "find: ", "- ", length), len(CODER))
    row = {"id": "one", "messages": [turn("user", question), turn("assistant", answer, extra)]}
    return templater.outcome(row)


def ids(text: str) -> list[int]:
    numbers: list[int] = CODER(text)["input_ids"]
    return numbers


def test_texts_stand_one_behind_the_other_with_what_belongs_before_them() -> None:
    row = outcome("stop web", "docker stop web", '{"negatives": ["docker rm -f web", "docker stop db"]}')
    (sequence,) = row.sequences
    expected = [ids(text) for text in ("find: stop web", "- docker stop web", "- docker rm -f web", "- docker stop db")]
    assert sequence.tokens.tolist() == [token for text in expected for token in text]
    assert list(sequence.lengths) == [len(text) for text in expected]
    assert sequence.labels.tolist() == sequence.tokens.tolist()
    assert row.reason is None and row.tokens == row.answers == len(sequence)


def test_a_row_with_several_documents_becomes_several_which_are_counted_as_repeated() -> None:
    row = outcome("stop web", "docker stop web", '{"positives": ["docker kill web"], "negatives": ["docker ps"]}')
    expected = [[ids("find: stop web"), ids(f"- docker {verb} web"), ids("- docker ps")] for verb in ("stop", "kill")]
    assert [part.tokens.tolist() for part in row.sequences] == [
        [token for text in texts for token in text] for texts in expected
    ]
    assert row.tokens == row.length == sum(len(part) for part in row.sequences)


@pytest.mark.parametrize(
    ("question", "answer", "extra", "reason"),
    [
        ("stop <|im_end|>", "docker stop", None, "rendered"),
        ("stop", "docker stop", '{"negatives": ["docker stop"]}', "equal_pair"),
        ("stop", "docker stop", '{"tool_calls": [{"name": "a"}]}', "unrenderable"),
        ("stop " * 80, "docker stop", None, "too_long"),
        ("stop", "docker stop", '{"negatives": ["' + "docker " * 80 + '"]}', "too_long"),
    ],
)
def test_a_row_that_leaves(question: str, answer: str, extra: str | None, reason: str) -> None:
    assert outcome(question, answer, extra).reason == reason


def test_a_text_that_is_too_long_is_cut_at_its_end_where_that_is_asked() -> None:
    row = outcome("stop " * 80, "docker stop", over="truncate_answer", length=10)
    (sequence,) = row.sequences
    assert (row.reason, row.cut, sequence.lengths[0]) == (None, "answer", 10)
    assert sequence.tokens.tolist()[:10] == ids("find: " + "stop " * 80)[:10]
    assert row.most == len(ids("find: " + "stop " * 80))


def put(paths: Paths, chats: list[list[dict[str, str]]]) -> None:
    for split, part in (("train", chats[1:]), ("validation", chats[:1])):
        pq.write_table(tiny.rows(split, part), paths.clean / f"{split}.parquet")


def test_what_is_cut_is_counted_and_too_much_stops(tmp_path: Path) -> None:
    paths = paired.project(tmp_path)
    chats = tiny.conversations()[:10]
    chats[5] = [{**chats[5][0]}, {**chats[5][1], "content": "docker " * 100}]
    put(paths, chats)
    settings = paired.TEMPLATE.model_copy(update={"max_length": 32})
    with pytest.raises(LossError, match="1 of 9 rows of train is longer than 32 tokens"):
        template.run(settings, paths)
    template.run(
        settings.model_copy(update={"over_length": "truncate_answer", "max_loss": 0.2, "max_answer_loss": 0.6}), paths
    )
    split = tiny.read(paths.audit)["splits"]["train"]
    tokens = split["tokens"]
    assert tokens["in"] == tokens["out"]["trained"] + tokens["left"]["cut_answer"]
    assert split["lengths"]["max"] == 32
    longest = max(load(paths.tokens("train")), key=lambda row: max(row["lengths"]))
    assert len(texts_of(longest)[1]) == 32
    (cut,) = pq.read_table(paths.templated / "truncated.parquet").to_pylist()
    assert (cut["part"], cut["reason"]) == ("answer", "cut")
