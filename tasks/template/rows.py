"""Canonical rows to token ids, whatever their kind, a batch at a time: templated, checked, and fitted to the length."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tasks.contract.rows import Message, turns
from tasks.template import sequence
from tasks.template.checks import ERRORS
from tasks.template.draft import Draft, Drafter
from tasks.template.encode import Encoder
from tasks.template.markers import Ends
from tasks.template.outcome import Outcome, Plan
from tasks.template.renderer import MOST_TOOLS, Renderer, Unrenderable
from tasks.template.sequence import Sequence
from tasks.template.settings import Settings
from tasks.template.shorten import POLICIES
from tasks.template.trial import settle


class Templater:
    """A tokenizer and settings, for any number of rows."""

    def __init__(self, tokenizer: Any, settings: Settings, stops: set[int], limit: int, vocabulary: int | None) -> None:
        self.encoder = Encoder(tokenizer)
        self.renderer = Renderer(tokenizer)
        ends = Ends(self.encoder.pattern, frozenset(tokenizer.convert_ids_to_tokens(sorted(stops))))
        self.drafter = Drafter(self.renderer, ends, settings.train_on)
        self.settings = settings
        self.stops = stops
        self.limit = limit
        self.vocabulary = vocabulary
        self._known_tools: dict[str, list[Any] | None] = {}
        begins = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id] != [tokenizer.eos_token_id]
        self._bos = tokenizer.bos_token_id if begins else None

    def outcomes(self, rows: list[dict[str, Any]]) -> list[Outcome]:
        """What becomes of each row, in their order."""
        return next(self.stream([rows]))

    def stream(self, batches: Iterable[list[dict[str, Any]]]) -> Iterator[list[Outcome]]:
        """What becomes of each row, batch by batch: one is encoded while the next is rendered."""
        with ThreadPoolExecutor(1) as pool:
            waiting: tuple[list[Plan], Future[list[Any]]] | None = None
            for rows in batches:
                plans = [self._plan(row) for row in rows]
                texts = [draft.text for plan in plans for draft in plan.drafts]
                encoded = pool.submit(self.encoder.encode, texts)
                if waiting:
                    yield self._finished(*waiting)
                waiting = plans, encoded
            if waiting:
                yield self._finished(*waiting)

    def _finished(self, plans: list[Plan], encoded: "Future[list[Any]]") -> list[Outcome]:
        drafts = [draft for plan in plans for draft in plan.drafts]
        made = iter(sequence.sequences(self.encoder, drafts, self.stops, encoded.result()))
        raw = iter(sequence.texts(self.encoder, [plan.text for plan in plans if plan.text is not None], self._bos))
        return [self._outcome(plan, made, raw) for plan in plans]

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
            if self.vocabulary is not None and max(part.ids, default=0) >= self.vocabulary:
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
        found.tokens = found.length if found.reason != "supervision" else sum(len(part.ids) for part in found.sequences)
        found.answers = found.trained
        if found.reason is None:
            self._fit(found, plan)
        return found

    def _compare(self, found: Outcome) -> None:
        """Two answers to one prompt: the same prompt, not the same answer."""
        first, last = found.sequences[0], found.sequences[-1]
        prompt = found.prompt
        if last.runs[0][0] != prompt or last.ids[:prompt] != first.ids[:prompt]:
            found.notes["prompt_differs"] += 1
        elif found.kind == "preference" and first.ids == last.ids:
            found.notes["equal_pair"] += 1

    def _judge(self, found: Outcome) -> None:
        """The first error that applies; that it was too long is none once it is shorter."""
        found.reason = next((slug for slug in ERRORS if slug != "too_long" and found.notes[slug]), None)

    def _fit(self, found: Outcome, plan: Plan) -> None:
        """Bring a row that is too long to the length, as the settings say, or let it leave."""
        if all(len(part.ids) <= self.limit for part in found.sequences):
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
