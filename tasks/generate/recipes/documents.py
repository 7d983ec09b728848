"""The recipe `documents`: questions that a chunk of a document answers, with the passage that says so.

Each row cites its chunk. An answer that the chunk does not bear out leaves: its quoted passage must stand there word
for word, its numbers too, and enough of its content words.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tasks.core.paths import Paths
from tasks.dedup.similarity import words
from tasks.engine.chosen import chosen
from tasks.generate.documents import Chunk, cut
from tasks.generate.quality import REFUSALS, echoes, rejection_reason
from tasks.generate.recipes import Lookup, Outcome, Row
from tasks.generate.recipes.chain import conversation
from tasks.generate.settings import Settings

PROMPT = """Below is a passage of the document "{document}"{under}. Write {count} different questions that a \
reader may have and that this passage answers, each with its answer. Use nothing but the passage. A question must make \
sense without the passage in sight, so name what it is about. With each give the quote: the words of the passage, \
copied exactly, that prove the answer.

Reply with a JSON list and nothing else:
[{{"question": "...", "answer": "...", "quote": "..."}}]

Passage:
{text}"""

_COMMON = """
    a an and are as at be by can do does for from has have how if in into is it its may more no not of on one only or
    other should so such than that the their them then there these they this to use used using was what when where
    which who why will with would you your
"""
COMMON = frozenset(_COMMON.split())
"""Words that say nothing of what a text is about."""


def order(settings: Settings, paths: Paths) -> Iterator[Row]:
    """A row a chunk, with what it is asked; chunks with too little text are passed over, and a limit spreads evenly."""
    how = settings.documents
    left: Counter[str] = Counter()
    with chosen(paths) as engine:
        pieces = cut(paths.root / settings.input, settings.input, how.chunk, left, engine)
        selected: Iterable[Chunk] = (chunk for chunk in pieces if len(chunk.text.strip()) >= how.shortest)
        if how.limit is not None:
            every = list(selected)
            most = min(how.limit, len(every))
            selected = [every[number * len(every) // most] for number in range(most)]
        for chunk in selected:
            yield {
                "asked": how.questions,
                "requests": 1,
                "prompt": json.dumps(prompt(chunk, how.questions), ensure_ascii=False),
                "chunk": chunk.text,
                "source": json.dumps(chunk.source(), ensure_ascii=False),
            }
    if left:
        skipped = ", ".join(f"{name} {count}" for name, count in sorted(left.items()))
        print(f"generate: skipped these files of {settings.input}: {skipped}", flush=True)


def prompt(chunk: Chunk, count: int) -> list[dict[str, str]]:
    """What the teacher is asked about a chunk."""
    under = f', under "{" > ".join(chunk.headings)}"' if chunk.headings else ""
    text = PROMPT.format(document=chunk.document, under=under, count=count, text=chunk.text)
    return [{"role": "user", "content": text}]


def build(settings: Settings, rows: Any, teacher: Callable[..., Any], batch: int) -> None:
    """One step that asks about each chunk."""
    from tasks.generate.recipes.steps import Prompt

    rows >> Prompt(name="questions", llm=teacher(), input_batch_size=batch)


def outcomes(settings: Settings, row: Row, answered: list[Row], lookup: Lookup) -> list[Outcome]:
    """Reasons beside those of `rejection_reason`: `format` (no JSON of the form asked for), `missing` (fewer
    questions than asked for), `unsupported` (the chunk does not bear the answer out)."""
    result = answered[0] if answered else {}
    key = result.get("llm_questions_request") or ""
    source = json.loads(row["source"])
    response = lookup(key) if key else None
    reason = rejection_reason(response, settings.teacher.max_new_tokens) if key else "no_answer"
    pairs = parse_pairs(response.text)[: row["asked"]] if response and reason in (None, "truncated") else []
    if reason is None:
        reason = "missing" if pairs else "format"
    kept = [_outcome(settings, row, source, key, pair) for pair in pairs]
    empty = Outcome({"messages": [], "document": source["document"]}, reason, "", "", _cited(source, key))
    return kept + [empty] * (row["asked"] - len(kept))


def parse_pairs(text: str) -> list[dict[str, str]]:
    """The whole entries of a list of questions, answers and quotes, wherever it begins, even where it was cut off."""
    decoder, at = json.JSONDecoder(), 0
    entries = []
    while (at := text.find("{", at)) >= 0:
        try:
            entry, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        at = end
        if isinstance(entry, dict) and all(
            isinstance(entry.get(name), str) and entry[name].strip() for name in ("question", "answer", "quote")
        ):
            entries.append({name: entry[name].strip() for name in ("question", "answer", "quote")})
    return entries


def supported(answer: str, quote: str, question: str, chunk: str, share: float) -> bool:
    """Whether `chunk` holds the quote, every number of the answer, and `share` of its content words.

    Words that the question has already do not count; an answer of such words alone has the quote for its proof.
    """
    text = _plain(chunk)
    if _plain(quote) not in text:
        return False
    numbers = set(re.findall(r"\d+(?:[.,]\d+)*", answer))
    if not numbers <= set(re.findall(r"\d+(?:[.,]\d+)*", chunk + question)):
        return False
    known = set(_terms(chunk))
    terms = set(_terms(answer)) - COMMON - set(_terms(question))
    return not terms or len(terms & known) / len(terms) >= share


def _outcome(settings: Settings, row: Row, source: Row, key: str, pair: dict[str, str]) -> Outcome:
    question, answer = pair["question"], pair["answer"]
    reason = None
    if REFUSALS.match(answer):
        reason = "refusal"
    elif echoes(question, answer):
        reason = "echo"
    elif not supported(answer, pair["quote"], question, row["chunk"], settings.documents.support):
        reason = "unsupported"
    content = {"messages": conversation(None, question, answer), "document": source["document"]}
    return Outcome(content, reason, question, answer, _cited({**source, "quote": pair["quote"]}, key))


def _cited(source: Row, key: str) -> Row:
    return {"source": source, "prompts": [key] if key else []}


def _plain(text: str) -> str:
    """Letters and digits, without Markdown's marks, cases and line ends, which a teacher does not copy."""
    return " ".join(re.sub(r"[`*_#>|\\]+", "", text).casefold().split())


def _terms(text: str) -> list[str]:
    return [part for word in words(text) for part in re.split(r"[^\w.-]+", word) if part]
