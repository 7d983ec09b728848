"""Canonical rows to token ids, whatever their kind, a batch at a time: templated, checked, fitted to the length."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.chat.environment import MOST_TOOLS
from tasks.chat.renderer import Renderer, Unrenderable
from tasks.rows.canonical import Message, turns
from tasks.template import sequence
from tasks.template.checks import ERRORS
from tasks.template.draft import Draft, Drafter
from tasks.template.encode import Encoder
from tasks.template.markers import Ends
from tasks.template.outcome import Outcome, Plan
from tasks.template.probe import settle
from tasks.template.sequence import Sequence
from tasks.template.settings import Settings
from tasks.template.shorten import POLICIES
from tasks.template.workers import cores, ordered

Batch = Any
"""Canonical rows, as records or as they stand in a file."""

PART = 25
"""Rows that one process templates at a time: many enough to be worth the way, few enough to end together."""


class Templater:
    """A tokenizer and settings, for any number of rows."""

    def __init__(self, tokenizer: Any, settings: Settings, stops: set[int], limit: int, vocabulary: int | None) -> None:
        self.encoder = Encoder(tokenizer)
        self.renderer = Renderer(tokenizer)
        ends = Ends(self.encoder.pattern, frozenset(tokenizer.convert_ids_to_tokens(sorted(stops))), self.encoder.every)
        self.drafter = Drafter(self.renderer, ends, settings.train_on)
        self.settings = settings
        self.stops = stops
        self.limit = limit
        self.vocabulary = vocabulary
        self._known_tools: dict[str, list[Any] | None] = {}
        begins = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id] != [tokenizer.eos_token_id]
        self._bos = tokenizer.bos_token_id if begins else None

    def outcomes(self, rows: Batch) -> list[Outcome]:
        """What becomes of each row, in their order."""
        plans = [self._plan(row) for row in (from_arrow(rows) if isinstance(rows, pa.RecordBatch) else rows)]
        made = iter(sequence.sequences(self.encoder, [draft for plan in plans for draft in plan.drafts], self.stops))
        raw = iter(sequence.texts(self.encoder, [plan.text for plan in plans if plan.text is not None], self._bos))
        return [self._outcome(plan, made, raw) for plan in plans]

    def stream(self, batches: Iterable[Batch]) -> Iterator[list[Outcome]]:
        """What becomes of each row, batch by batch, by as many processes as there are cores."""
        lengths: deque[int] = deque()

        def parts() -> Iterator[Batch]:
            for batch in batches:
                lengths.append(len(batch))
                for start in range(0, len(batch), PART):
                    yield _alone(batch[start : start + PART])

        outcomes: list[Outcome] = []
        for found in ordered(self.outcomes, parts(), cores()):
            outcomes += found
            if len(outcomes) == lengths[0]:
                yield outcomes
                lengths.popleft()
                outcomes = []

    def settle(self) -> dict[str, str]:
        """Learn from a trial how the template ends turns and wants to be fed; returns what was made right, by slug."""
        return settle(self.encoder, self.drafter, self.stops, self.vocabulary)

    def examine(self, name: str, messages: list[Message], tools: list[Any] | None) -> Outcome:
        """What becomes of one dialogue."""
        plan = Plan({"id": name}, tools)
        try:
            self._dialogue(plan, messages, None)
        except Unrenderable as error:
            plan.error, plan.drafts = str(error), []
        return self._outcome(plan, iter(sequence.sequences(self.encoder, plan.drafts, self.stops)), iter(()))

    def tokens(
        self, messages: list[Message], tools: list[Any] | None = None, completion: int | None = None
    ) -> Sequence:
        """One dialogue. Raises `Unrenderable`."""
        return sequence.sequences(self.encoder, [self.drafter.draft(messages, tools, completion)], self.stops)[0]

    def _plan(self, row: dict[str, Any]) -> Plan:
        plan = Plan(row, None)
        if row.get("weight") not in (None, 0, 1):
            plan.notes["weight"] += 1
        try:
            plan.tools = self._tools(row.get("tools"))
            if row.get("chosen"):
                plan.kind, plan.prompt = "preference", turns(row["prompt"])
                plan.answers = [turns(row["chosen"]), turns(row["rejected"])]
            elif row.get("completion"):
                plan.kind, plan.prompt, plan.answers = "judged", turns(row["prompt"]), [turns(row["completion"])]
            elif row.get("messages"):
                self._dialogue(plan, turns(row["messages"]), row.get("weight"))
            else:
                plan.text = row.get("text") or ""
            for answer in plan.answers:
                plan.drafts.append(self.drafter.draft([*plan.prompt, *answer], plan.tools, len(plan.prompt)))
        except Unrenderable as error:
            plan.error, plan.drafts = str(error), []
        return plan

    def _tools(self, given: str | None) -> list[Any] | None:
        """The tools of a row; equal ones are one object, which is rendered once. Raises `Unrenderable`."""
        if not given:
            return None
        if given not in self._known_tools:
            if len(self._known_tools) >= MOST_TOOLS:
                self._known_tools.clear()
            try:
                made = json.loads(given)
            except ValueError:
                made = None
            if not isinstance(made, list):
                raise Unrenderable("the tools of the row are no list in JSON")
            self._known_tools[given] = made
        return self._known_tools[given]

    def _dialogue(self, plan: Plan, messages: list[Message], weight: float | None) -> None:
        if weight == 0:
            messages = [{**message, "weight": 0} for message in messages]
        answers = [message for message in messages if message["role"] == "assistant"]
        if answers and all(message.get("weight") == 0 for message in answers):
            plan.notes["untrained"] += 1
        if any(message.get("weight") not in (None, 0, 1) for message in messages):
            plan.notes["weight"] += 1
        plan.messages = messages
        if self.settings.turns == "together":
            plan.drafts.append(self.drafter.draft(messages, plan.tools))
            return
        for number, message in enumerate(messages):
            if message["role"] == "assistant" and message.get("weight") != 0:
                plan.drafts.append(self.drafter.draft(messages[: number + 1], plan.tools, number))

    def _outcome(self, plan: Plan, made: Iterator[Sequence], raw: Iterator[Sequence]) -> Outcome:
        found = Outcome(plan.row["id"], plan.kind, notes=plan.notes, label=plan.row.get("label"), detail=plan.error)
        if plan.error is not None:
            found.reason = "unrenderable"
            found.notes["unrenderable"] += 1
            return found
        found.detail = next((draft.missing for draft in plan.drafts if draft.missing), None)
        found.sequences = [next(raw)] if plan.text is not None else [next(made) for _ in plan.drafts]
        for part in found.sequences:
            found.notes.update(part.problems)
            if self.vocabulary is not None and part.tokens.max(initial=0) >= self.vocabulary:
                found.notes["vocabulary"] += 1
            if not part.runs:
                found.notes["supervision"] += 1
        if plan.kind != "sequence" and not found.notes["supervision"]:
            found.sequences = [part.cut(0, part.runs[-1][1]) for part in found.sequences]
            self._compare(found)
            if plan.kind == "preference" and not found.notes["equal_pair"] and _alike(*plan.drafts):
                found.notes["alike_pair"] += 1
        if found.notes["untrained"]:
            del found.notes["supervision"]  # the data ask for it
        self._judge(found)
        found.tokens = found.length if found.reason != "supervision" else sum(len(part) for part in found.sequences)
        found.answers = found.trained
        if found.reason is None:
            self._fit(found, plan)
        return found

    def _compare(self, found: Outcome) -> None:
        """Two answers to one prompt: the same prompt, not the same answer."""
        first, last = found.sequences[0], found.sequences[-1]
        prompt = found.prompt
        if last.runs[0][0] != prompt or not np.array_equal(last.tokens[:prompt], first.tokens[:prompt]):
            found.notes["prompt_differs"] += 1
        elif found.kind == "preference" and np.array_equal(first.tokens, last.tokens):
            found.notes["equal_pair"] += 1

    def _judge(self, found: Outcome) -> None:
        """The first error that applies; that it was too long is none once it is shorter."""
        found.reason = next((slug for slug in ERRORS if slug != "too_long" and found.notes[slug]), None)

    def _fit(self, found: Outcome, plan: Plan) -> None:
        """Bring a row that is too long to the length, as the settings say, or let it leave."""
        if all(len(part) <= self.limit for part in found.sequences):
            return
        found.notes["too_long"] += 1
        over = self.settings.over_length
        try:
            kept = POLICIES[over](self, found, plan) if over in POLICIES else None
        except Unrenderable:
            kept = None
        if kept is None:
            found.reason, found.sequences = "too_long", []
            return
        found.sequences = kept
        for part in kept:
            found.notes.update({slug: count for slug, count in part.problems.items() if slug not in found.notes})
        if found.kind != "sequence":
            self._compare(found)
        self._judge(found)


def _alike(first: Draft, second: Draft) -> bool:
    """Whether two texts differ in space and in capital letters only."""
    texts = ["".join(draft.text.casefold().split()) for draft in (first, second)]
    return texts[0] == texts[1]


def _alone(part: Batch) -> Batch:
    """The rows without the rest of the batch, which would go to a worker with them."""
    return pa.ipc.read_record_batch(part.serialize(), part.schema) if isinstance(part, pa.RecordBatch) else part


def from_arrow(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch, as `to_pylist` gives them, at a fraction of its time."""
    columns = [_values(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: Any) -> list[Any]:
    if pa.types.is_string(column.type):
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    if not pa.types.is_list(column.type) or not pa.types.is_struct(column.type.value_type):
        return list(column.to_pylist())
    inner = column.flatten()
    names = [field.name for field in column.type.value_type]
    fields = [_values(part) for part in inner.flatten()]
    turns = iter([dict(zip(names, turn, strict=True)) for turn in zip(*fields, strict=True)])
    return [None if length is None else list(islice(turns, length)) for length in column.value_lengths().to_pylist()]
