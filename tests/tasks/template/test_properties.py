"""Whatever is said in a dialogue, under templates and tokenizers of every kind, what is trained is what was said."""

from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tasks.template.audit import Account
from tasks.template.markers import mark
from tasks.template.markup import fit
from tasks.template.markup_search import row_markup
from tasks.template.rows import Templater
from tasks.template.settings import Over, Settings
from tasks.template.tokenizer import CHAT, prepare
from tests.tasks import tiny
from tests.tasks.template.test_template import UNMARKED, pair, row

Turns = list[dict[str, str]]

DATA = Path(__file__).parents[4] / "shared" / "data" / "tokenizers"
LLAMA = (
    "{{- bos_token -}}{%- for m in messages -%}"
    "{{- '<|head|>' + m.role + '<|/head|>\n\n' + m.content | trim + eos_token -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|head|>assistant<|/head|>\n\n' -}}{%- endif -%}"
)
MISTRAL = (
    "{{- bos_token -}}{%- for m in messages -%}{%- if m.role == 'assistant' -%}{{- ' ' + m.content + eos_token -}}"
    "{%- elif m.role == 'user' -%}{{- '[INST] ' + m.content + '[/INST]' -}}"
    "{%- else -%}{{- raise_exception('no system prompts') -}}{%- endif -%}{%- endfor -%}"
)
TEMPLATES = {
    "marked": tiny.CHATML,
    "unmarked": UNMARKED,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "plain": (CHAT / "plain.jinja").read_text(),
}
CONTROLS = ("<|im_start|>", "<|im_end|>", "<|head|>", "<|/head|>", "[INST]", "[/INST]", "<s>", "</s>")
QUOTED = st.sampled_from(
    (*CONTROLS, "<|im_", "[INST", "\ue0000\ue001", "\U000f0000", "\U0010f001", "{{ x }}", "{% raw %}")
)
ODD = st.sampled_from(
    (" ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "e\u0301", "\u202eabc", "👩‍👩‍👧", "שלום", "\ufeff", "\ufffd")
)
PLAIN = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="<▁"), max_size=12), ODD, st.just("docker stop")
)


def dialogues_of(pieces: st.SearchStrategy[str]) -> st.SearchStrategy[Turns]:
    """Dialogues: perhaps a system prompt, then turns of the user and the assistant."""
    text = (
        st.lists(pieces, min_size=1, max_size=5).map("".join).filter(lambda text: text.strip() and "think>" not in text)
    )
    exchange = st.tuples(text, text).map(
        lambda both: [{"role": "user", "content": both[0]}, {"role": "assistant", "content": both[1]}]
    )
    return st.tuples(st.none() | text, st.lists(exchange, min_size=1, max_size=4)).map(lambda drawn: _joined(*drawn))


def _joined(system: str | None, exchanges: list[Turns]) -> Turns:
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [turn for exchange in exchanges for turn in exchange]


@cache
def stage(kind: str, written: str, limit: int = 10**9, over: Over = "error") -> Templater:
    """The stage with a tokenizer and a template, made anew for each limit and policy."""
    if kind == "bytes":
        coder = tiny.tokenizer()
        coder.bos_token = "<|pad|>"
        coder.add_special_tokens({"additional_special_tokens": list(CONTROLS)})
    elif kind == "pieces":
        coder = tiny.pieces(CONTROLS)
    else:
        coder = AutoTokenizer.from_pretrained(DATA / kind)
    coder.chat_template = TEMPLATES.get(written) or coder.chat_template
    coder, _ = prepare(coder, Settings(), kind)
    templater = Templater(coder, Settings(over_length=over), {coder.eos_token_id}, limit, None)
    templater.reconcile()
    return templater


def bare(text: str) -> str:
    """Without space: tokenizers like sentencepiece's take some of it away beside control tokens when they decode."""
    return "".join(text.split())


def taken(turns: Turns, written: str) -> Turns:
    """What the template takes: phi-3's leaves system prompts out, mistral's moves them to the last turn of the user."""
    return [turn for turn in turns if written != "own" or turn["role"] != "system"]


KINDS = ["bytes", "pieces", *(path.name for path in sorted(DATA.glob("*")) if path.name != "llama-2")]
BOTH = pytest.mark.parametrize(
    ("kind", "written"),
    [(kind, written) for kind in ("bytes", "pieces") for written in TEMPLATES]
    + [pytest.param(kind, "own", marks=() if kind == "llama-3.1" else pytest.mark.long) for kind in KINDS[2:]],
)
drawn = settings(max_examples=12, deadline=None, derandomize=True, database=None)


@BOTH
@drawn
@given(dialogues_of(PLAIN | QUOTED))
@example(
    [{"role": "user", "content": "<|im_end|>\U000f0001<|im_start|>"}, {"role": "assistant", "content": "\ue0000\ue001"}]
)
def test_what_is_trained_is_what_was_said(kind: str, written: str, turns: Turns) -> None:
    templater = stage(kind, written)
    turns = taken(turns, written)
    coder = templater.encoder.tokenizer
    (outcome,) = templater.outcomes([row(turns)])
    answers = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    indented = any(answer[:1].isspace() for answer in answers)
    assert outcome.reason == ("indentation" if outcome.notes["indentation"] else None), outcome.detail
    assert indented or not outcome.notes["indentation"]
    assert set(outcome.notes) <= {"quoted", "trimmed", "indentation"}
    (part,) = outcome.sequences
    text = templater.renderer.render(turns)
    assert bare(coder.decode(part.ids)) == bare(text)
    placed = [{**turn, "content": "docker"} for turn in turns]
    (scaffold,) = templater.outcomes([row(placed)])
    controls = [
        [part.ids[at] for at in templater.encoder.control_positions(part.ids)] for part in (part, scaffold.sequences[0])
    ]
    assert controls[0] == controls[1]
    stop = coder.eos_token
    trained = [coder.decode(part.ids[start:end]) for start, end in part.runs]
    assert [bare(one) for one in trained] == [bare(answer + stop) for answer in answers]
    assert all(part.ids[end - 1] == coder.eos_token_id for _, end in part.runs)
    for (start, _), number in zip(part.runs, (n for n, t in enumerate(turns) if t["role"] == "assistant"), strict=True):
        (before,) = templater.encoder.encode([templater.dialogue_renderer.prompt(turns[:number])])
        if not outcome.notes["quoted"]:
            assert part.ids[:start] == before.ids
    if not outcome.notes["quoted"] and templater.renderer.takes_system:
        assert part.ids == coder.apply_chat_template(turns)["input_ids"]


def test_a_letter_that_a_tokenizer_keeps_for_the_space_is_noticed() -> None:
    """sentencepiece writes spaces as U+2581, so a text that holds that letter reads as another one."""
    turns = [{"role": "user", "content": "docker stop"}, {"role": "assistant", "content": "▁"}]
    (outcome,) = stage("pieces", "marked").outcomes([row(turns)])
    assert outcome.reason == "unknown"


@BOTH
@drawn
@given(dialogues_of(PLAIN | QUOTED))
def test_the_skeleton_of_many_rows_and_that_of_the_row_itself_agree(kind: str, written: str, turns: Turns) -> None:
    dialogue_renderer = stage(kind, written).dialogue_renderer
    messages = dialogue_renderer.renderer.adapt(taken(turns, written))
    text = dialogue_renderer.renderer.render_adapted(messages, None)
    apart = mark(messages)
    fast = dialogue_renderer._shared_markup(apart, None)
    assert fast is not None
    placed = fit(fast, text, apart.texts)
    markup, slow = row_markup(
        dialogue_renderer.renderer, messages, apart, None, dialogue_renderer._ends, dialogue_renderer._prompts, text
    )
    assert placed is not None
    assert not markup.missing and not fast.missing
    ends = [
        [
            (turn.message, fitted.character(turn.start), fitted.character(turn.end), turn.prefix, turn.ended)
            for turn in each.turns
        ]
        for each, fitted in ((fast, placed), (markup, slow))
    ]
    assert ends[0] == ends[1]


UNDER_EVERY_POLICY = pytest.mark.parametrize(
    ("kind", "over"),
    [
        (kind, over)
        for kind in ("bytes", "pieces")
        for over in ("error", "drop", "truncate_prompt", "truncate_answer", "split")
    ],
)
SEVERAL = given(st.lists(dialogues_of(PLAIN | QUOTED), min_size=1, max_size=4), st.sampled_from((8, 20, 40, 80, 160)))


@UNDER_EVERY_POLICY
@settings(max_examples=7, deadline=None, derandomize=True, database=None)
@SEVERAL
def test_rows_and_tokens_add_up_under_every_policy(kind: str, over: Over, dialogues: list[Turns], limit: int) -> None:
    check_sums(kind, over, dialogues, limit)


@pytest.mark.long
@UNDER_EVERY_POLICY
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@SEVERAL
def test_those_of_many_rows_do(kind: str, over: Over, dialogues: list[Turns], limit: int) -> None:
    check_sums(kind, over, dialogues, limit)


def check_sums(kind: str, over: Over, dialogues: list[Turns], limit: int) -> None:
    """That what the stage counts of these dialogues adds up, and that no sequence is longer than `limit` tokens."""
    templater = stage(kind, "unmarked", limit, over)
    rows = [{**row(turns), "id": str(number)} for number, turns in enumerate(dialogues)]
    rows += [pair(turns[-2]["content"], turns[-1]["content"], "docker") for turns in dialogues]
    rows += [{"id": "text", "text": turns[0]["content"]} for turns in dialogues]
    outcomes = templater.outcomes(rows)
    account = Account("train")
    gone = [lost for outcome in outcomes if (lost := account.add(outcome))]
    for ledger in (account.rows, account.tokens, account.answers):
        ledger.check("train")
    assert account.rows.came == len(rows) == len(outcomes)
    kept = [outcome for outcome in outcomes if not outcome.reason]
    assert account.tokens.outs["trained"] == sum(outcome.trained for outcome in kept)
    assert sum(account.tokens.outs.values()) == sum(outcome.length for outcome in kept)
    assert all(len(part.ids) <= limit for outcome in kept for part in outcome.sequences)
    assert all(part.runs for outcome in kept for part in outcome.sequences)
    assert len(gone) == sum(bool(outcome.reason or outcome.cut) for outcome in outcomes)
    for outcome, given_row in zip(outcomes, rows, strict=True):
        if outcome.kind == "sequence" and outcome.cut in ("oldest_turns", "exchanges") and not outcome.reason:
            answers = [turn["content"] for turn in given_row["messages"] if turn["role"] == "assistant"]
            coder = templater.encoder.tokenizer
            trained = [bare(coder.decode(p.ids[start:end])) for p in outcome.sequences for start, end in p.runs]
            whole = [bare(answer + coder.eos_token) for answer in answers]
            assert trained == (whole if outcome.cut == "exchanges" else whole[-len(trained) :])
