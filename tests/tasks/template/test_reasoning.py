"""Reasoning is trained where the template writes it, and the audit says where it does not."""

from typing import Any

import pytest

from tasks.template.audit import Account
from tasks.template.markers import mark
from tests.tasks import tiny
from tests.tasks.chat.test_reasoning import AFTER, BEFORE, OWN, PUBLIC, public, public_coder
from tests.tasks.template.test_template import judged, trained

QUESTION = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4", "reasoning_content": "two and two"}
LATER = {"role": "assistant", "content": "5", "reasoning_content": "one more"}

LAST_ONLY = OWN.replace("if m.reasoning_content", "if m.reasoning_content and loop.last")


def coder(template: str) -> Any:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def summary(*outcomes: Any) -> dict[str, Any]:
    account = Account("train")
    for outcome in outcomes:
        account.add(outcome)
    counts: dict[str, Any] = account.as_dict()["reasoning"]
    return counts


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
@pytest.mark.parametrize("read", ["reasoning_content", "thinking"])
def test_reasoning_under_any_of_its_names_is_trained(name: str, read: str) -> None:
    tokenizer = coder(OWN.replace("reasoning_content", read))
    outcome = judged(tokenizer, [QUESTION, {"role": "assistant", "content": "4", name: "two and two"}])
    assert outcome.reason is None and not outcome.notes
    assert trained(tokenizer, outcome) == ["((two and two))4<|im_end|>"]
    assert summary(outcome) == {"turns": 1, "trained": 1, "left_out": {"last_turn": 0, "earlier_turns": 0}}


def test_a_text_under_several_names_is_one_slot() -> None:
    marked = mark([{**ANSWER, "thinking": "two and two", "reasoning": "another"}])
    assert [slot.field for slot in marked.slots] == ["content", "reasoning_content", "reasoning"]
    assert marked.messages[0]["thinking"] == marked.messages[0]["reasoning_content"]


def test_reasoning_that_equals_the_answer_is_a_text_of_its_own() -> None:
    outcome = judged(coder(tiny.CHATML), [QUESTION, {**ANSWER, "reasoning_content": "4"}])
    assert outcome.reason == "coverage"


def test_a_template_that_writes_none_is_found_out() -> None:
    outcome = judged(coder(tiny.CHATML), [QUESTION, ANSWER])
    assert outcome.reason == "coverage"
    assert outcome.detail == "reasoning of the assistant: choose a template that writes it, or remove it from the rows"
    assert summary(outcome) == {"turns": 1, "trained": 0, "left_out": {"last_turn": 1, "earlier_turns": 0}}


def test_a_template_that_keeps_that_of_the_last_turn_is_found_out() -> None:
    tokenizer = coder(LAST_ONLY)
    together = judged(tokenizer, [QUESTION, ANSWER, QUESTION, LATER])
    assert together.reason == "coverage" and "template.turns: apart" in str(together.detail)
    assert summary(together) == {"turns": 2, "trained": 1, "left_out": {"last_turn": 0, "earlier_turns": 1}}
    apart = judged(tokenizer, [QUESTION, ANSWER, QUESTION, LATER], turns="apart")
    assert apart.reason is None
    assert trained(tokenizer, apart) == ["((two and two))4<|im_end|>", "((one more))5<|im_end|>"]
    assert summary(apart) == {"turns": 2, "trained": 2, "left_out": {"last_turn": 0, "earlier_turns": 0}}


def test_reasoning_of_untrained_turns_does_not_count() -> None:
    tokenizer = coder(LAST_ONLY)
    outcome = judged(tokenizer, [QUESTION, ANSWER, QUESTION, LATER], train_on="last")
    assert outcome.reason is None and outcome.notes == {"history": 1}
    assert summary(outcome) == {"turns": 1, "trained": 1, "left_out": {"last_turn": 0, "earlier_turns": 0}}


def test_reasoning_at_the_head_of_content_counts_too() -> None:
    inline = {"role": "assistant", "content": "<think>\ntwo and two\n</think>\n\n4"}
    whole = judged(coder(tiny.CHATML), [QUESTION, inline])
    assert whole.reason is None and summary(whole)["trained"] == 1
    stripping = tiny.CHATML.replace("message['content'] +", "message['content'].split('</think>')[-1] +")
    lost = judged(coder(stripping), [QUESTION, inline])
    assert lost.reason == "coverage" and str(lost.detail).startswith("reasoning of the assistant")
    assert summary(lost)["left_out"]["last_turn"] == 1


def test_reasoning_that_is_trimmed_is_trained() -> None:
    tokenizer = coder(OWN.replace("m.reasoning_content +", "m.reasoning_content | trim +"))
    outcome = judged(tokenizer, [QUESTION, {**ANSWER, "reasoning_content": "\n  two\n\n  and two\n"}])
    assert outcome.reason is None and outcome.notes == {"trimmed": 1}
    assert summary(outcome)["trained"] == 1


def test_reasoning_that_is_written_and_not_trained_is_left_out() -> None:
    unmarked = BEFORE + "{{- '((' + m.reasoning_content + '))' -}}{%- endif -%}{%- generation -%}"
    unmarked += AFTER.replace("{%- endif -%}", "", 1).replace("{%- endfor", "{%- endgeneration -%}{%- endfor")
    unmarked += "{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
    outcome = judged(coder(unmarked), [QUESTION, ANSWER])
    assert summary(outcome)["left_out"]["last_turn"] == 1
    assert outcome.reason is not None


@public
def test_every_public_template_that_writes_reasoning_trains_it() -> None:
    """Beside the 27 there are those that refuse a bare question, and those that write none."""
    writes = []
    for file in sorted(PUBLIC.rglob("*.jinja")):
        tokenizer = public_coder(str(file.relative_to(PUBLIC).with_suffix("")))
        outcome = judged(tokenizer, [QUESTION, ANSWER])
        text = "".join(tokenizer.decode(part.ids) for part in outcome.sequences)
        if "two and two" in text:
            writes.append(file.stem)
            assert "coverage" not in outcome.notes, file
            assert summary(outcome)["trained"] == 1, file
        else:
            assert outcome.reason in ("coverage", "unrenderable"), file
    assert len(writes) == 27
