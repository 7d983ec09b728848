"""Canonical rows to token ids, whatever their kind, a batch at a time: templated, checked, fitted to the length."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from tasks.chat.environment import MOST_TOOLS
from tasks.chat.renderer import Endless, Renderer, Unrenderable
from tasks.core.json_files import json_value
from tasks.rows.canonical import Message, turns
from tasks.template import sequence
from tasks.template.arrow import Batch, records
from tasks.template.checks import ERRORS
from tasks.template.dialogue import DialogueRenderer
from tasks.template.encode import Encoder
from tasks.template.markers import TurnEnds
from tasks.template.outcome import Outcome, Plan
from tasks.template.pairs import alike, flipped
from tasks.template.probe import reconcile
from tasks.template.sequence import Sequence
from tasks.template.settings import Settings
from tasks.template.shorten import POLICIES

READ = frozenset(
    {"id", "messages", "text", "prompt", "chosen", "rejected", "completion", "label", "tools", "weight", "order"}
)
"""Columns of canonical rows of which the outcome is made."""


class Templater:
    """A tokenizer and settings, for any number of rows."""

    def __init__(self, tokenizer: Any, settings: Settings, stops: set[int], limit: int, vocabulary: int | None) -> None:
        self._before = (tokenizer.eos_token, tokenizer.pad_token, set(stops))
        self._reconciled = self._apart = False
        self.encoder = Encoder(tokenizer)
        self.renderer = Renderer(tokenizer)
        stop_tokens = frozenset(tokenizer.convert_ids_to_tokens(sorted(stops)))
        ends = TurnEnds(self.encoder.pattern, stop_tokens, self.encoder.any_control)
        self.dialogue_renderer = DialogueRenderer(self.renderer, ends, settings.train_on)
        self.settings = settings
        self.stops = stops
        self.limit = limit
        self.vocabulary = vocabulary
        self._known_tools: dict[str, list[Any] | None] = {}
        self._bos = sequence.begin_id(tokenizer)

    def outcomes(self, rows: Batch) -> list[Outcome]:
        """What becomes of each row, in their order.

        For example:

            (outcome,) = templater.outcomes([row])  # a canonical row, as `clean` writes it
            outcome.reason or outcome.sequences[0].labels  # why it leaves, or what is trained (T, int32)
        """
        plans = self._plans(records(rows))
        dialogues = [dialogue for plan in plans for dialogue in plan.dialogues]
        raw_texts = [plan.text for plan in plans if plan.text is not None]
        of_dialogues = iter(sequence.sequences(self.encoder, dialogues, self.stops))
        of_texts = iter(sequence.text_sequences(self.encoder, raw_texts, self._bos))
        return [self._outcome(plan, of_dialogues, of_texts) for plan in plans]

    def reconcile(self) -> dict[str, str]:
        """Learn from a probe how the template ends turns and wants to be fed; returns what was made right, by slug."""
        self._reconciled = True
        return reconcile(self.encoder, self.dialogue_renderer, self.stops, self.vocabulary)

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew where it is sent, for a compiled template cannot travel."""
        state = (self._before, self.settings, self.limit, self.vocabulary, self._reconciled)
        return _remade, (self.encoder.tokenizer, *state)

    def examine(self, name: str, messages: list[Message], tools: list[Any] | None) -> Outcome:
        """What becomes of one dialogue."""
        plan = Plan({"id": name}, tools)
        try:
            self._dialogue(plan, messages, None)
        except Unrenderable as error:
            plan.error, plan.dialogues = str(error), []
        return self._outcome(plan, iter(sequence.sequences(self.encoder, plan.dialogues, self.stops)), iter(()))

    def tokens(
        self, messages: list[Message], tools: list[Any] | None = None, completion: int | None = None
    ) -> Sequence:
        """One dialogue. Raises `Unrenderable`."""
        rendered = self.dialogue_renderer.render(messages, tools, completion)
        return sequence.sequences(self.encoder, [rendered], self.stops)[0]

    def _plans(self, rows: list[dict[str, Any]]) -> list[Plan]:
        if not self._apart:
            with suppress(Endless), self.renderer.together():
                return [self._plan(row) for row in rows]
            self._apart = True  # one row is endless, or all of them are long: they have bounds of their own from now on
        return [self._plan(row) for row in rows]

    def _plan(self, row: dict[str, Any]) -> Plan:
        plan = Plan(row, None)
        weight = row.get("weight")
        if weight not in (None, 0, 1):
            plan.notes["weight"] += 1
        if weight == 0 and not row.get("messages"):
            plan.notes["untrained"] += 1
        try:
            plan.tools = self._tools(row.get("tools"))
            if row.get("chosen"):
                plan.kind, plan.prompt = "preference", turns(row["prompt"])
                plan.answers = [turns(row["chosen"]), turns(row["rejected"])]
                plan.notes.update(["flipped"] * flipped(*plan.answers))
            elif row.get("completion"):
                plan.kind, plan.prompt, plan.answers = "judged", turns(row["prompt"]), [turns(row["completion"])]
            elif row.get("messages"):
                self._dialogue(plan, turns(row["messages"]), row.get("weight"))
            else:
                plan.text = row.get("text") or ""
            for answer in plan.answers:
                whole = [*plan.prompt, *answer]
                plan.dialogues.append(self.dialogue_renderer.render(whole, plan.tools, len(plan.prompt)))
        except Unrenderable as error:
            plan.error, plan.dialogues = str(error), []
        return plan

    def _tools(self, text: str | None) -> list[Any] | None:
        """The tools of a row; equal ones are one object, which is rendered once. Raises `Unrenderable`."""
        if not text:
            return None
        if text not in self._known_tools:
            if len(self._known_tools) >= MOST_TOOLS:
                self._known_tools.clear()
            try:
                tools = json_value(text)
            except ValueError:
                tools = None
            if not isinstance(tools, list):
                raise Unrenderable("the row's tools must be a JSON list")
            self._known_tools[text] = tools
        return self._known_tools[text]

    def _dialogue(self, plan: Plan, messages: list[Message], weight: float | None) -> None:
        if weight == 0:
            messages = [{**message, "weight": 0} for message in messages]
        if any("weight" in message for message in messages):
            answers = [message for message in messages if message["role"] == "assistant"]
            if answers and all(message.get("weight") == 0 for message in answers):
                plan.notes["untrained"] += 1
            if any(message.get("weight") not in (None, 0, 1) for message in messages):
                plan.notes["weight"] += 1
        plan.messages = messages
        if self.settings.turns == "together":
            plan.dialogues.append(self.dialogue_renderer.render(messages, plan.tools))
            return
        for number, message in enumerate(messages):
            if message["role"] == "assistant" and message.get("weight") != 0:
                plan.dialogues.append(self.dialogue_renderer.render(messages[: number + 1], plan.tools, number))

    def _outcome(self, plan: Plan, of_dialogues: Iterator[Sequence], of_texts: Iterator[Sequence]) -> Outcome:
        row = plan.row
        outcome = Outcome(row["id"], plan.kind, notes=plan.notes, label=row.get("label"), detail=plan.error)
        outcome.order = row.get("order")
        if plan.error is not None:
            outcome.reason = "unrenderable"
            outcome.notes["unrenderable"] += 1
            return outcome
        outcome.detail = next((dialogue.missing for dialogue in plan.dialogues if dialogue.missing), None)
        if any(dialogue.reasoning for dialogue in plan.dialogues):
            outcome.reasoning = sum((dialogue.reasoning for dialogue in plan.dialogues), start=Counter())
        outcome.unread = next((dialogue.unread for dialogue in plan.dialogues if dialogue.unread), None)
        outcome.sequences = [next(of_texts)] if plan.text is not None else [next(of_dialogues) for _ in plan.dialogues]
        for part in outcome.sequences:
            if part.problems:
                outcome.notes.update(part.problems)
            if self.vocabulary is not None and part.tokens.max(initial=0) >= self.vocabulary:
                outcome.notes["vocabulary"] += 1
            if not part.runs:
                outcome.notes["supervision"] += 1
        if plan.kind != "sequence" and not outcome.notes["supervision"]:
            outcome.sequences = [part.cut(0, part.runs[-1][1]) for part in outcome.sequences]
            self._compare(outcome)
            if (
                plan.kind == "preference"
                and not outcome.notes["equal_pair"]
                and alike(*(dialogue.text for dialogue in plan.dialogues))
            ):
                outcome.notes["alike_pair"] += 1
        if outcome.notes["untrained"]:
            del outcome.notes["supervision"]  # the data ask for it
        self._judge(outcome)
        outcome.tokens = (
            outcome.length if outcome.reason != "supervision" else sum(len(part) for part in outcome.sequences)
        )
        outcome.answers = outcome.trained
        if outcome.reason is None:
            self._fit(outcome, plan)
        return outcome

    def _compare(self, outcome: Outcome) -> None:
        """Two answers to one prompt: the same prompt, not the same answer."""
        first, last = outcome.sequences[0], outcome.sequences[-1]
        prompt = outcome.prompt
        if last.runs[0][0] != prompt or not np.array_equal(last.tokens[:prompt], first.tokens[:prompt]):
            outcome.notes["prompt_differs"] += 1
        elif outcome.kind == "preference" and np.array_equal(first.tokens, last.tokens):
            outcome.notes["equal_pair"] += 1

    def _judge(self, outcome: Outcome) -> None:
        """The first error that applies; that it was too long is none once it is shorter."""
        notes = outcome.notes
        outcome.reason = next((slug for slug in ERRORS if slug != "too_long" and notes[slug]), None) if notes else None

    def _fit(self, outcome: Outcome, plan: Plan) -> None:
        """Bring a row that is too long to the length, as the settings say, or let it leave."""
        if all(len(part) <= self.limit for part in outcome.sequences):
            return
        outcome.notes["too_long"] += 1
        over = self.settings.over_length
        try:
            kept = POLICIES[over](self, outcome, plan) if over in POLICIES else None
        except Unrenderable:
            kept = None
        if kept is None:
            outcome.reason, outcome.sequences = "too_long", []
            return
        outcome.sequences = kept
        if outcome.cut == "windows":
            del outcome.notes["too_long"]  # each token stands in one of them, so there is nothing to find
        for part in kept:
            outcome.notes.update({slug: count for slug, count in part.problems.items() if slug not in outcome.notes})
        if outcome.kind != "sequence":
            self._compare(outcome)
        self._judge(outcome)


def _remade(
    tokenizer: Any,
    before: tuple[str | None, str | None, set[int]],
    settings: Settings,
    limit: int,
    vocabulary: int | None,
    reconciled: bool,
) -> Templater:
    """The templater as it was first made, and then `reconciled` with the template if it had been."""
    tokenizer.eos_token, tokenizer.pad_token, stops = before
    templater = Templater(tokenizer, settings, set(stops), limit, vocabulary)
    if reconciled:
        templater.reconcile()
    return templater
