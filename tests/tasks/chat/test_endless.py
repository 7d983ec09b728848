"""Templates that loop or grow are refused: with a dialogue of two words at once, with a long one that row alone."""

from functools import partial

import pytest

from tasks.bounds.limits import Bounds
from tasks.chat import renderer
from tasks.chat.renderer import LARGEST, Endless, Renderer
from tasks.chat.special_tokens import token_pattern
from tasks.core.errors import ModelError
from tasks.template.dialogue import DialogueRenderer
from tasks.template.markers import TurnEnds
from tasks.template.rows import Templater
from tasks.template.settings import Settings
from tests.tasks import tiny
from tests.tasks.template.test_template import row

LOOP = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
GROW = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
LONG = "{{ 'x' * 2000000 }}"


def templated(template: str) -> Renderer:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template + tiny.CHATML
    return Renderer(tokenizer)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (LOOP, r"it takes more than 0\.1 seconds of CPU time to render one dialogue"),
        (GROW, "it takes more than 1 GiB of memory to render one dialogue"),
        (LONG, r"its output is 2,000,\d{3} characters long"),
    ],
)
def test_a_template_that_never_ends_is_refused_at_once(
    template: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer, "PROBING", 0.1 if template == LOOP else 5.0)
    with pytest.raises(ModelError, match=f"loops or grows without end: {why}"):
        templated(template)


def test_a_dialogue_of_two_words_gets_less_time_than_a_row() -> None:
    """A template that takes seconds a time is refused at the first probe, not after twenty of them and all rows."""
    with pytest.raises(ModelError, match=r"it takes more than 0\.5 seconds .* It does so with a dialogue of two words"):
        templated(LOOP)


def test_a_template_is_refused_by_its_length_before_it_is_compiled() -> None:
    room = LARGEST - len(tiny.CHATML)
    assert "docker" in templated("{#" + "x" * (room - 4) + "#}").render(tiny.conversations()[0])
    with pytest.raises(ModelError, match=r"too large: 131,073 characters, at most 131,072 are allowed"):
        templated("x" * (room + 1))


def test_a_quote_without_an_end_is_looked_for_once() -> None:
    endless = templated("{# '" + "|" * 100_000 + " #}")
    control = token_pattern(["<|im_start|>", "<|im_end|>"])
    ends = TurnEnds(control, frozenset({"<|im_end|>"}), control)
    assert DialogueRenderer(endless, ends, "assistant").render(tiny.conversations()[0]).turns


def test_only_the_row_that_makes_it_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = templated("{% if messages|length > 2 %}" + LOOP + "{% endif %}")
    monkeypatch.setattr(renderer, "RENDERING", 0.1)
    short = tiny.conversations()[0]
    assert "docker start web" in ready.render(short)
    with pytest.raises(Endless, match="loops or grows"):
        ready.render([*short, *short])


@pytest.mark.parametrize("endless", [LOOP, GROW])
def test_rows_that_have_one_bound_together_leave_alone_where_they_exceed_it(
    endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer, "RENDERING", 0.1 if endless == LOOP else 5.0)
    monkeypatch.setattr(renderer, "Bounds", partial(Bounds, memory=2**27))
    tokenizer = tiny.tokenizer()
    short = row(tiny.conversations()[0])
    rows = [{**short, "id": "first"}, row([*short["messages"], *short["messages"]], id="long"), {**short, "id": "last"}]
    plain = Templater(tokenizer, Settings(), {tokenizer.eos_token_id}, 256, None).outcomes(rows)
    tokenizer.chat_template = "{% if messages|length > 2 %}" + endless + "{% endif %}" + tiny.CHATML
    first, long, last = Templater(tokenizer, Settings(), {tokenizer.eos_token_id}, 256, None).outcomes(rows)
    assert long.reason == "unrenderable" and "loops or grows" in str(long.detail)
    assert [one.sequences[0].ids for one in (first, last)] == [one.sequences[0].ids for one in (plain[0], plain[2])]
