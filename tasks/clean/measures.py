"""Whether a text is worth training on: measures and checks over plain texts, each cheap enough for millions of rows.

A measure returns a number, for thresholds and histograms; a check returns whether the text fails. What they call good
is for English prose, commands and code alike; a text without a question has the empty one.
"""

import json
import re
from itertools import pairwise

from tasks.dedup.similarity import words

GRAM = 5
"""Words of the sequences that `repeated_words` counts; five to ten are the long ones of Rae et al. (2021)."""

ECHO_WORDS = 5
"""Words of the question that an answer must repeat before it can be an echo."""

CUT_REASONS = frozenset({"length", "max_tokens", "model_length", "incomplete"})
"""What services call the end of a generation that reached the limit of its length."""


def may_repeat(text: str) -> bool:
    """Whether at least `GRAM` words stood before, without which nothing worth the name occurs twice; quick to see."""
    tokens = text.split()
    return len(tokens) - len(set(tokens)) >= GRAM


def repeated_lines(text: str) -> float:
    """Share of the characters (0 to 1) in lines that stood before; lines of less than four letters do not count.

    After the duplicate lines of Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training
    Gopher", table A1, which leaves out web pages from 0.2.
    """
    return _repeated(text.split("\n"))


def repeated_sentences(text: str) -> float:
    """Share of the characters (0 to 1) in sentences that stood before; as `repeated_lines`."""
    ends = [end.end() for end in _SENTENCE_END.finditer(text)]
    return _repeated([text[start:end] for start, end in pairwise([0, *ends, len(text)])]) if ends else 0.0


def repeated_words(text: str) -> float:
    """Share of the characters (0 to 1) of words in sequences of `GRAM` words that stood before, each word once.

    After the duplicate 5-grams of Rae et al. 2021, table A1, which leaves out web pages from 0.15.
    """
    tokens = text.split()
    grams = list(zip(*(tokens[start:] for start in range(GRAM)), strict=False))
    if len(set(grams)) == len(grams):
        return 0.0
    seen: set[tuple[str, ...]] = set()
    counted, characters = 0, 0
    for start, gram in enumerate(grams):
        if gram in seen:
            fresh = max(start, counted)
            characters += sum(map(len, tokens[fresh : start + GRAM]))
            counted = start + GRAM
        else:
            seen.add(gram)
    return characters / sum(map(len, tokens))


def has_run(text: str, least: int) -> bool:
    """Whether one letter, digit, exclamation or question mark stands `least` times or more in a row.

    Every such run covers a place whose number is a multiple of `least`, so that only those are looked at.
    """
    for at in range(least - 1, len(text), least):
        char = text[at]
        if char != text[at - 1] and (at + 1 == len(text) or char != text[at + 1]):
            continue
        if not (char.isalnum() or char in "!?"):
            continue
        around = text[at - least + 1 : at + least]
        if char * least in around:
            return True
    return False


def echoed(question: str, answer: str) -> float:
    """Share of the answer's words (0 to 1) that repeat the question, from its beginning, after a label such as `Q:`.

    0.0 unless `ECHO_WORDS` words and nine tenths of the question are repeated. Case and outer punctuation do not count.
    An essay under the question as its title has a small share.
    """
    label = _LABEL.match(answer)
    answer = answer[label.end() :] if label else answer
    first, second = _WORD.search(answer, 0, 80), _WORD.search(question, 0, 80)
    if not first or not second or first[0].lower() != second[0].lower():
        return 0.0  # most answers; quicker than words
    question_words, answer_words = words(question), words(answer)
    same = 0
    for one, other in zip(question_words, answer_words, strict=False):
        if one != other:
            break
        same += 1
    return same / len(answer_words) if same >= max(ECHO_WORDS, 0.9 * len(question_words)) else 0.0


def is_cut(finish_reason: str) -> bool:
    """Whether a service said that the generation reached the limit of its length."""
    return finish_reason.lower() in CUT_REASONS


def is_truncated(answer: str) -> bool:
    """Whether the generation was cut, for the text cannot end as it does.

    That is: in a fence of code that was not closed (unless on a sentence: then it was closed, not opened), in JSON that
    was not closed, or in prose on a comma, or on a word after which another must come (`the`, `because`). No
    punctuation at the end is no fault: commands have none.
    """
    text = answer.rstrip()
    if "```" in text:
        if text.endswith("```"):
            return False
        if _ends_in_fence(text):
            return text[-1] not in ".!?"
    if text[:1] in ("{", "["):
        return _is_cut_json(text)
    last = text[text.rfind("\n") + 1 :][-200:]
    end = last[last.rfind(" ") + 1 :]
    return bool(_HANGING.fullmatch(end)) and len(last.split()) >= 6 and not _NO_PROSE.search(last)


def _repeated(parts: list[str]) -> float:
    parts = [part.strip() for part in parts]
    if len(set(parts)) == len(parts):
        return 0.0
    total = sum(map(len, parts))
    seen: set[str] = set()
    again = 0
    for part in parts:
        if part in seen:
            if _LETTERS.search(part):
                again += len(part)
        else:
            seen.add(part)
    return again / total if total else 0.0


def _ends_in_fence(text: str) -> bool:
    """Whether a fence of code is open at the end (CommonMark 0.31, section 4.5)."""
    open_with = 0
    for fence in _FENCE.finditer(text):
        ticks = len(fence[1])
        if not open_with:
            open_with = ticks
        elif ticks >= open_with and not fence[2].strip():
            open_with = 0
    return bool(open_with)


def _is_cut_json(text: str) -> bool:
    """Whether a text that begins as JSON is right up to its end, and then not closed."""
    if not _JSON_START.match(text):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated string") or error.pos >= len(text)
    except (RecursionError, ValueError):
        return False
    return False


_SENTENCE_END = re.compile(r"[.!?\n](?:(?<=\n)|(?=\s))")  # one set first, so that the search is quick
_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"(?:[^\W\d_][\W\d_]*){4}")
_LABEL = re.compile(r"\s*(?:#+\s*|\*\*)?(?:user|human|question|prompt|instruction|q)\s*:\**\s*", re.IGNORECASE)
_FENCE = re.compile(r"^ {0,3}(?:[-*+>] +)?(`{3,})([^`\n]*)$", re.MULTILINE)
_JSON_START = re.compile(r'[{\[]\s*(?:["{\[]|$)')
_NO_PROSE = re.compile(r"[`{}<>=|\\$#]|://|(?<!\S)--?\w")
_HANGING = re.compile(
    r"the|an|and|or|but|because|although|whereas|whose|their|its|your|my|our|of|than|into|is|are|which|while|[^\W\d_]+,"
)
