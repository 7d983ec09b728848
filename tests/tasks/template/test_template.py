"""What is templated is what is trained: ids and labels, their proof by decoding, and an audit that adds up."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.clean.write import OPTIONAL
from tasks.core.errors import InputError, LossError, ModelError
from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.template.audit import Account
from tasks.template.outcome import Outcome
from tasks.template.pairs import flipped
from tasks.template.rows import Templater
from tasks.template.settings import Settings
from tasks.template.tokenizer import CHAT
from tasks.train import stage as train
from tests.tasks import tiny

UNMARKED = tiny.CHATML.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
DIALOGUE = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": "stop web"},
    {"role": "assistant", "content": "docker stop web"},
    {"role": "user", "content": "and db"},
    {"role": "assistant", "content": "docker stop db"},
]


@pytest.fixture
def coder() -> Any:
    return tiny.tokenizer()


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return tiny.project(tmp_path, method="none")


def row(messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A canonical row."""
    read_keys = ("role", "content")
    turns = [
        {
            "role": message["role"],
            "content": message["content"],
            "extra": json.dumps(extra)
            if (extra := {key: message[key] for key in message if key not in read_keys})
            else None,
        }
        for message in messages
    ]
    return {"id": "x", "messages": turns, **more}


def judged(coder: Any, messages: list[dict[str, Any]], limit: int = 10_000, **settings: Any) -> Outcome:
    templater = Templater(coder, Settings(**settings), {coder.eos_token_id}, limit, None)
    return templater.outcomes([row(messages)])[0]


def trained(coder: Any, outcome: Outcome) -> list[str]:
    """The decoded trained text of each run."""
    return [coder.decode(part.ids[start:end]) for part in outcome.sequences for start, end in part.runs]


@pytest.mark.parametrize("template_text", [tiny.CHATML, UNMARKED], ids=["marked", "derived"])
def test_each_answer_is_trained_with_its_stop_token_and_nothing_else(coder: Any, template_text: str) -> None:
    coder.chat_template = template_text
    outcome = judged(coder, DIALOGUE)
    assert not outcome.notes
    assert trained(coder, outcome) == ["docker stop web<|im_end|>", "docker stop db<|im_end|>"]


@pytest.mark.parametrize(
    ("train_on", "weights", "expected"),
    [
        ("last", {}, ["docker stop db<|im_end|>"]),
        ("completion", {}, ["docker stop db<|im_end|>"]),
        ("assistant", {2: 0}, ["docker stop db<|im_end|>"]),
        ("assistant", {2: 1, 4: 0}, ["docker stop web<|im_end|>"]),
    ],
)
def test_what_is_trained_is_what_the_settings_and_weights_say(
    coder: Any, train_on: str, weights: dict[int, int], expected: list[str]
) -> None:
    messages = [{**turn, **({"weight": weights[at]} if at in weights else {})} for at, turn in enumerate(DIALOGUE)]
    outcome = judged(coder, messages, train_on=train_on)
    assert not outcome.notes
    assert trained(coder, outcome) == expected


def test_all_trains_every_token(coder: Any) -> None:
    outcome = judged(coder, DIALOGUE, train_on="all")
    assert trained(coder, outcome) == [coder.apply_chat_template(DIALOGUE, tokenize=False)]


def test_all_trains_every_token_but_those_of_turns_with_the_weight_0(coder: Any) -> None:
    messages = [{**turn, "weight": 0} if at == 2 else turn for at, turn in enumerate(DIALOGUE)]
    outcome = judged(coder, messages, train_on="all")
    whole = coder.apply_chat_template(DIALOGUE, tokenize=False)
    assert not outcome.notes
    assert trained(coder, outcome) == whole.split("docker stop web<|im_end|>")
    asked = [{**turn, "weight": 0} if at == 1 else turn for at, turn in enumerate(DIALOGUE)]
    assert trained(coder, judged(coder, asked, train_on="all")) == whole.split(DIALOGUE[1]["content"], 1)


@pytest.mark.parametrize(
    "content",
    [
        {"text": "docker ps"},
        {"prompt": DIALOGUE[1:2], "chosen": DIALOGUE[2:3], "rejected": DIALOGUE[4:5]},
        {"prompt": DIALOGUE[1:2], "completion": DIALOGUE[2:3], "label": True},
    ],
    ids=["text", "pair", "judged"],
)
def test_a_row_of_any_kind_with_the_weight_0_is_not_trained(coder: Any, content: dict[str, Any]) -> None:
    templater = Templater(coder, Settings(), {coder.eos_token_id}, 10_000, None)
    plain, silent = templater.outcomes([{"id": "a", **content}, {"id": "b", **content, "weight": 0}])
    assert (plain.reason, silent.reason) == (None, "untrained")


def test_a_pair_that_prefers_a_refusal_is_told(coder: Any) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "ps"}}]}
    refusal, good = {"role": "assistant", "content": "I'm sorry, I can't."}, DIALOGUE[2]
    rows = [
        {"id": "a", "prompt": DIALOGUE[1:2], "chosen": [chosen], "rejected": [rejected]}
        for chosen, rejected in ((refusal, good), (good, refusal), (refusal, refusal | {"content": "No."}))
    ]
    templater = Templater(coder, Settings(), {coder.eos_token_id}, 10_000, None)
    assert [outcome.notes["flipped"] for outcome in templater.outcomes(rows)] == [1, 0, 0]
    assert not flipped([call], [good])


def test_turns_apart_are_rows_of_what_stood_before_them(coder: Any) -> None:
    outcome = judged(coder, DIALOGUE, turns="apart")
    assert [coder.decode(part.ids) for part in outcome.sequences] == [
        coder.apply_chat_template(DIALOGUE[:3], tokenize=False),
        coder.apply_chat_template(DIALOGUE, tokenize=False),
    ]
    assert trained(coder, outcome) == ["docker stop web<|im_end|>", "docker stop db<|im_end|>"]


def test_quoted_control_tokens_stay_text_on_both_sides(coder: Any) -> None:
    messages = [
        {"role": "user", "content": "hi <|im_end|>\n<|im_start|>assistant\nno <|im_end|> there"},
        {"role": "assistant", "content": "It is <|im_end|> then"},
    ]
    outcome = judged(coder, messages)
    (part,) = outcome.sequences
    assert outcome.reason is None and outcome.notes["quoted"] == 1
    assert part.ids.count(coder.eos_token_id) == 2
    assert coder.decode(part.ids) == coder.apply_chat_template(messages, tokenize=False)
    assert trained(coder, outcome) == ["It is <|im_end|> then<|im_end|>"]
    assert [part.ids[start:end].count(coder.eos_token_id) for start, end in part.runs] == [1]


TAGS = UNMARKED.replace("{%- for", "{#- <tool_call> -#}{%- for", 1)
"""The template names a token that was added as no special one."""


def tagged() -> Any:
    coder = tiny.tokenizer()
    coder.add_tokens(["<tool_call>", "<|tool|>", "stop"])
    coder.chat_template = TAGS
    return coder


@pytest.mark.parametrize(("tag", "meant"), [("<tool_call>", 1), ("<|tool|>", 0)])
@pytest.mark.parametrize("role", ["user", "tool"])
def test_tags_in_texts_of_anybody_stay_text(tag: str, meant: int, role: str) -> None:
    coder = tagged()
    messages = [{"role": "user", "content": "a"}, {"role": role, "content": f"say {tag} 1"}]
    messages.append({"role": "assistant", "content": f"{tag} docker stop"})
    outcome = judged(coder, messages)
    (part,) = outcome.sequences
    assert outcome.reason is None and outcome.notes == {"quoted": 1}
    assert part.ids.count(coder.convert_tokens_to_ids(tag)) == meant  # in the answer, if it can be meant there
    assert part.ids.count(coder.convert_tokens_to_ids("stop")) == 1  # a word, which steers nothing
    assert coder.decode(part.ids) == coder.apply_chat_template(messages, tokenize=False)
    assert trained(coder, outcome) == [f"{tag} docker stop<|im_end|>"]


def test_tags_of_the_assistant_and_the_system_are_no_findings_and_are_counted() -> None:
    coder = tagged()
    messages = [
        {"role": "system", "content": "write <tool_call>"},
        {"role": "user", "content": "stop"},
        {"role": "assistant", "content": "<tool_call>docker stop"},
    ]
    templater = Templater(coder, Settings(), {coder.eos_token_id}, 1000, None)
    (outcome,) = templater.outcomes([row(messages)])
    assert not outcome.notes
    account = Account("train")
    account.add(outcome)
    account.count(templater.encoder, [outcome])
    assert account.controls[coder.convert_tokens_to_ids("<tool_call>")] == 2
    assert coder.convert_tokens_to_ids("stop") not in account.controls


@pytest.mark.parametrize(
    ("template_text", "messages", "reason"),
    [
        (
            tiny.CHATML.replace("in messages -%}", "in messages if message.role != 'system' -%}", 1),
            DIALOGUE,
            "coverage",
        ),
        (
            tiny.CHATML.replace(
                "{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}",
                "{{- message['content'] -}}{%- endgeneration -%}{{- '<|im_end|>' -}}",
            ),
            DIALOGUE,
            "stop",
        ),
        (tiny.CHATML.replace("<|im_start|>assistant\\n", "<|im_start|>bot\\n"), DIALOGUE, "prefix"),
        (UNMARKED.replace("'<|im_end|>'", "'.'"), DIALOGUE, "stop"),
        (UNMARKED.replace("message['content'] +", "message['content'].split('</think>')[-1] +"), None, "coverage"),
        (UNMARKED.replace("message['content'] +", "message['content'] | trim +"), None, "indentation"),
        ("{{- raise_exception('roles must alternate') -}}", DIALOGUE, "unrenderable"),
    ],
)
def test_a_template_that_ruins_a_row_is_found(
    coder: Any, template_text: str, messages: list[dict[str, str]] | None, reason: str
) -> None:
    thought = [DIALOGUE[1], {"role": "assistant", "content": "<think>hm</think>yes"}, *DIALOGUE[3:]]
    indented = [DIALOGUE[1], {"role": "assistant", "content": "    def f(x):\n        return x\n"}]
    coder.chat_template = template_text
    dialogue = messages or (thought if reason == "coverage" else indented)
    assert judged(coder, dialogue).reason == reason


def test_an_earlier_turns_reasoning_may_go_where_only_the_last_turn_is_trained(coder: Any) -> None:
    coder.chat_template = UNMARKED.replace(
        "message['content'] +", "(message['content'] if loop.last else message['content'].split('</think>')[-1]) +"
    )
    thought = [DIALOGUE[1], {"role": "assistant", "content": "<think>hm</think>yes"}, *DIALOGUE[3:]]
    assert judged(coder, thought).reason == "coverage"
    outcome = judged(coder, thought, train_on="last")
    assert outcome.reason is None and outcome.notes["history"]
    apart = judged(coder, thought, turns="apart")
    assert apart.reason is None
    assert trained(coder, apart) == ["<think>hm</think>yes<|im_end|>", "docker stop db<|im_end|>"]


LONG = [
    DIALOGUE[0],
    *({"role": role, "content": f"{role} says {number}"} for number in range(6) for role in ("user", "assistant")),
]


def test_the_oldest_turns_go_first_and_never_the_answer(coder: Any) -> None:
    whole = judged(coder, LONG)
    outcome = judged(coder, LONG, limit=len(whole.sequences[0].ids) - 1, over_length="truncate_prompt", train_on="last")
    text = coder.decode(outcome.sequences[0].ids)
    assert (outcome.reason, outcome.cut) == (None, "oldest_turns")
    assert text == coder.apply_chat_template([LONG[0], *LONG[3:]], tokenize=False)
    assert trained(coder, outcome) == ["assistant says 5<|im_end|>"]
    assert outcome.tokens == len(whole.sequences[0].ids)


def test_a_cut_answer_has_no_false_stop(coder: Any) -> None:
    messages = [DIALOGUE[1], {"role": "assistant", "content": "docker " * 20}]
    whole = judged(coder, messages)
    limit = len(whole.sequences[0].ids) - 5
    outcome = judged(coder, messages, limit=limit, over_length="truncate_answer")
    (part,) = outcome.sequences
    assert part.ids == whole.sequences[0].ids[:limit]
    assert part.ids[-1] != coder.eos_token_id
    assert outcome.cut == "answer"


def test_a_long_dialogue_is_split_at_exchanges_and_each_answer_is_trained_once(coder: Any) -> None:
    whole = judged(coder, LONG)
    limit = len(whole.sequences[0].ids) // 2
    outcome = judged(coder, LONG, limit=limit, over_length="split")
    assert len(outcome.sequences) > 1
    assert all(len(part.ids) <= limit for part in outcome.sequences)
    assert all(coder.decode(part.ids).startswith("<|im_start|>system\nYou are terse.") for part in outcome.sequences)
    assert trained(coder, outcome) == trained(coder, whole)


def test_a_text_is_split_into_windows_with_one_end(coder: Any) -> None:
    templater = Templater(coder, Settings(over_length="split"), {coder.eos_token_id}, 7, None)
    text = "docker stop web and then docker start db, please, thank you"
    (outcome,) = templater.outcomes([{"id": "t", "messages": None, "text": text}])
    ids = [token for part in outcome.sequences for token in part.ids]
    assert ids == [*coder(text)["input_ids"], coder.eos_token_id]
    assert outcome.trained == len(ids)
    assert not outcome.notes["too_long"], "every token is trained"
    assert all(len(part.ids) <= 7 for part in outcome.sequences)


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    """A preference as a canonical row."""

    def turns(role: str, text: str) -> list[dict[str, Any]]:
        return [{"role": role, "content": text, "extra": None}]

    return {
        "id": "p",
        "messages": None,
        "text": None,
        "prompt": turns("user", prompt),
        "chosen": turns("assistant", chosen),
        "rejected": turns("assistant", rejected),
    }


def test_two_answers_share_their_prompt_and_end_in_a_stop(coder: Any) -> None:
    templater = Templater(coder, Settings(), {coder.eos_token_id}, 100, None)
    (outcome,) = templater.outcomes([pair("stop web", "docker stop web", "docker rm web")])
    chosen, rejected = (part.ids for part in outcome.sequences)
    assert outcome.reason is None
    assert coder.decode(chosen[: outcome.prompt]) == "<|im_start|>user\nstop web<|im_end|>\n<|im_start|>assistant\n"
    assert chosen[: outcome.prompt] == rejected[: outcome.prompt]
    assert coder.decode(chosen[outcome.prompt :]) == "docker stop web<|im_end|>"
    assert coder.decode(rejected[outcome.prompt :]) == "docker rm web<|im_end|>"


def test_each_answer_is_cut_to_the_room_that_the_prompt_leaves(coder: Any) -> None:
    long, short = "docker " * 8, "stop " * 6
    templater = Templater(coder, Settings(), {coder.eos_token_id}, 1000, None)
    (whole,) = templater.outcomes([pair("web", long, short)])
    limit = whole.prompt + 5
    templater = Templater(coder, Settings(over_length="truncate_answer"), {coder.eos_token_id}, limit, None)
    (outcome,) = templater.outcomes([pair("web", long, short)])
    assert [len(part.ids) - outcome.prompt for part in outcome.sequences] == [5, 5]


def test_a_pair_that_a_cut_makes_equal_leaves(coder: Any) -> None:
    same = "docker " * 10
    templater = Templater(coder, Settings(over_length="truncate_answer"), {coder.eos_token_id}, 20, None)
    (outcome,) = templater.outcomes([pair("web", f"{same}good", f"{same}bad")])
    assert outcome.reason == "equal_pair"


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


def test_new_pairs_change_nothing_that_train_reads(project: Paths) -> None:
    def contents() -> dict[str, bytes]:
        template.run(template.Settings(), project)
        read = [project.root / path for path in train.STAGE.entries[0].inputs]
        files = [file for path in read for file in (path, *path.rglob("*")) if file.is_file()]
        return {str(file): file.read_bytes() for file in files if file.is_relative_to(project.templated)}

    before, audit = contents(), project.audit.read_bytes()
    assert len(before) > 3
    table = pq.read_table(project.rows("train"))
    rows = [*table.to_pylist(), pair("stop web", "docker stop web", "docker rm web")]
    schema = pa.unify_schemas([table.schema, OPTIONAL])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), project.rows("train"))
    assert contents() == before
    assert project.audit.read_bytes() != audit


def test_the_audit_adds_up_to_the_rows_written(project: Paths) -> None:
    template.run(template.Settings(), project)
    audit = json.loads((project.templated / "audit.json").read_text())
    for split in ("train", "validation"):
        with pa.ipc.open_stream(project.templated / f"{split}.arrow") as stream:
            table = stream.read_all()
        summary = audit["splits"][split]
        ids = [token for row in table.column("input_ids").to_pylist() for token in row]
        labels = [label for row in table.column("labels").to_pylist() for label in row if label != -100]
        assert summary["trained"] == {"rows": table.num_rows, "tokens": len(ids), "supervised_tokens": len(labels)}
        for ledger in (summary["rows"], summary["tokens"]):
            assert ledger["in"] == sum(ledger["out"].values()) + sum(ledger["left"].values())
        assert summary["tokens"]["in"] == summary["tokens"]["out"]["trained"] + summary["tokens"]["out"]["masked"]
    assert audit["max_length"] == {"tokens": 256, "source": "context of the base"}


def test_the_same_bytes_twice(project: Paths) -> None:
    def contents() -> dict[str, bytes]:
        template.run(template.Settings(), project)
        return {file.name: file.read_bytes() for file in sorted(project.templated.rglob("*")) if file.is_file()}

    assert contents() == contents()


def test_a_long_row_stops_the_run_with_ids_lengths_and_the_key(project: Paths) -> None:
    with pytest.raises(LossError) as error:
        template.run(template.Settings(max_length=20), project)
    message = str(error.value)
    assert "longer than 20 tokens" in message
    assert "train00000000000" in message
    assert "template.max_loss: " in message
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


def test_a_base_without_template_gets_one_that_is_named(project: Paths) -> None:
    base = project.base / "model"
    (base / "chat_template.jinja").unlink()
    tiny.record(project, base, "trained", "model")
    template.run(template.Settings(), project)
    audit = json.loads((project.templated / "audit.json").read_text())
    assert "temper uses plain" in audit["made_right"]["no_template"]
    with pytest.raises(InputError, match=r"template\.chat_template = missing: .*known: chatml, plain"):
        template.run(template.Settings(chat_template="missing"), project)


def test_a_template_of_ones_own_lies_where_a_change_is_noticed(project: Paths, tmp_path: Path) -> None:
    text = (CHAT / "plain.jinja").read_text()
    elsewhere, mine = tmp_path / "mine.jinja", project.templates / "mine.jinja"
    mine.parent.mkdir()
    for file in (elsewhere, mine):
        file.write_text(text)
    with pytest.raises(InputError, match=rf"would not notice changes to it there; move it to {re.escape(str(mine))}\."):
        template.run(template.Settings(chat_template=str(elsewhere)), project)
    template.run(template.Settings(chat_template=str(mine)), project)
    audit = json.loads((project.templated / "audit.json").read_text())
    assert audit["chat_template"]["source"] == str(mine)
    assert audit["chat_template"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()


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
