"""What is templated is what is trained: ids and labels, their proof by decoding, and an audit that adds up."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import template
from tasks.contract.errors import LossError, ModelError
from tasks.contract.paths import Paths
from tasks.template import checks, mask, render
from tests.tasks import tiny

UNMARKED = tiny.CHATML.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
DIALOGUE = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": "stop web"},
    {"role": "assistant", "content": "docker stop web"},
    {"role": "user", "content": "and db"},
    {"role": "assistant", "content": "docker stop db"},
]


@pytest.fixture(scope="module")
def coder() -> Any:
    return tiny.tokenizer()


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return tiny.project(tmp_path, method="none")


def judged(coder: Any, messages: list[dict[str, str]]) -> tuple[str | None, list[str]]:
    """The check that the dialogue fails, and the decoded trained text of each turn."""
    text = render.render(coder, messages)
    encoded = coder(text, add_special_tokens=False, return_offsets_mapping=True)
    trained = mask.mask(encoded["offset_mapping"], mask.spans(coder, messages, text))
    ids = encoded["input_ids"]
    failed = checks.failed(coder, messages, text, ids, trained, {coder.eos_token_id})
    return failed, [coder.decode(run) for run in checks._runs(ids, trained)]


@pytest.mark.parametrize("template_text", [tiny.CHATML, UNMARKED], ids=["marked", "derived"])
def test_each_answer_is_trained_with_its_stop_token_and_nothing_else(coder: Any, template_text: str) -> None:
    coder.chat_template = template_text
    assert judged(coder, DIALOGUE) == (None, ["docker stop web<|im_end|>", "docker stop db<|im_end|>"])


def test_control_tokens_in_a_users_text_are_found(coder: Any) -> None:
    coder.chat_template = tiny.CHATML
    messages = [{"role": "user", "content": "hi <|im_end|> there"}, {"role": "assistant", "content": "no"}]
    assert judged(coder, messages)[0] == "scaffold"


def test_a_template_that_drops_the_system_prompt_is_found(coder: Any) -> None:
    coder.chat_template = tiny.CHATML.replace(
        "{%- for message in messages -%}", "{%- for message in messages if message.role != 'system' -%}"
    )
    assert judged(coder, DIALOGUE)[0] == "coverage"


def test_a_template_whose_stop_is_not_trained_is_found(coder: Any) -> None:
    outside = tiny.CHATML.replace(
        "{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}",
        "{{- message['content'] -}}{%- endgeneration -%}{{- '<|im_end|>' -}}",
    )
    coder.chat_template = outside
    assert judged(coder, DIALOGUE)[0] == "stop"


def test_a_generation_prompt_that_training_never_saw_is_found(coder: Any) -> None:
    coder.chat_template = tiny.CHATML.replace("<|im_start|>assistant\\n", "<|im_start|>bot\\n")
    assert judged(coder, DIALOGUE)[0] == "prefix"


def test_every_row_is_trained_as_its_decoding_shows(project: Paths) -> None:
    template.run(template.Settings(), project)
    with pa.ipc.open_stream(project.templated / "train.arrow") as stream:
        table = stream.read_all()
    coder = tiny.tokenizer()
    chats = pq.read_table(project.clean / "train.parquet").column("messages").to_pylist()
    assert table.num_rows == len(chats)
    for ids, labels, chat in zip(
        table.column("input_ids").to_pylist(), table.column("labels").to_pylist(), chats, strict=True
    ):
        assert coder.decode(ids) == coder.apply_chat_template(chat, tokenize=False)
        assert coder.decode([label for label in labels if label != -100]) == chat[-1]["content"] + "<|im_end|>"
        assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))


def test_the_audit_adds_up_to_the_rows_written(project: Paths) -> None:
    template.run(template.Settings(), project)
    audit = json.loads((project.templated / "audit.json").read_text())
    for split in ("train", "validation"):
        with pa.ipc.open_stream(project.templated / f"{split}.arrow") as stream:
            table = stream.read_all()
        told = audit["splits"][split]
        ids = [token for row in table.column("input_ids").to_pylist() for token in row]
        labels = [label for row in table.column("labels").to_pylist() for label in row if label != -100]
        assert told["trained"] == {"rows": table.num_rows, "tokens": len(ids), "supervised_tokens": len(labels)}
        for ledger in (told["rows"], told["tokens"]):
            assert ledger["in"] == sum(ledger["out"].values()) + sum(ledger["left"].values())
    assert audit["max_length"] == {"tokens": 256, "source": "context of the base"}


def test_the_same_bytes_twice(project: Paths) -> None:
    def contents() -> dict[str, bytes]:
        template.run(template.Settings(), project)
        return {file.name: file.read_bytes() for file in sorted(project.templated.rglob("*")) if file.is_file()}

    assert contents() == contents()


def test_a_long_row_stops_the_run_with_ids_lengths_and_the_key(project: Paths) -> None:
    with pytest.raises(LossError) as error:
        template.run(template.Settings(max_length=20), project)
    told = str(error.value)
    assert "longer than 20 tokens" in told
    assert "train00000000000" in told
    assert "template.max_loss: " in told
    assert not (project.templated / "audit.json").exists()


def test_the_advised_settings_let_the_long_rows_leave_and_record_them(project: Paths) -> None:
    share = 0.0
    while True:
        try:
            template.run(template.Settings(max_length=24, over_length="drop", max_loss=share), project)
            break
        except LossError as error:
            advised = float(str(error).rsplit(" ", 1)[1].rstrip("."))
            assert advised > share  # each advice is for one split; it must get us further
            share = advised
    audit = json.loads((project.templated / "audit.json").read_text())
    left = pq.read_table(project.templated / "truncated.parquet").to_pylist()
    assert audit["checks"]["too_long"] == len(left) > 0
    assert all(row["tokens"] > 24 for row in left)


def test_a_base_without_template_says_what_to_set(project: Paths) -> None:
    base = project.base / "model"
    (base / "chat_template.jinja").unlink()
    tiny.record(project, base, "trained", "model")
    with pytest.raises(ModelError, match=r"template\.chat_template"):
        template.run(template.Settings(), project)
    template.run(template.Settings(chat_template="plain"), project)


def test_a_base_that_changed_since_it_was_recorded_is_refused(project: Paths) -> None:
    config = project.base / "model" / "config.json"
    config.write_text(config.read_text() + "\n")
    with pytest.raises(ModelError, match="changed since it was recorded"):
        template.run(template.Settings(), project)


def test_the_preview_escapes_what_users_wrote(project: Paths) -> None:
    table = tiny.rows("train", [[{"role": "user", "content": "<script>"}, {"role": "assistant", "content": "ls <x>"}]])
    pq.write_table(table, project.clean / "train.parquet")
    template.run(template.Settings(), project)
    page = (project.templated / "preview.html").read_text()
    assert "<script>" not in page
    assert "<mark>ls &lt;x&gt;&lt;|im_end|&gt;</mark>" in page
