"""Whether a text is worth training on: measures and checks over plain texts, each cheap enough for millions of rows.

A measure returns a number, for thresholds and histograms; a check returns whether the text fails. What they call good
is for English prose, commands and code alike; a text without a question has the empty one.
"""

import json
import re

from tasks.contract.likeness import words

GRAM = 5
"""Words of the sequences that `repeated_words` counts; five to ten are the long ones of Rae et al. (2021)."""

ECHO_WORDS = 5
"""Words of the question that an answer must repeat before it can be an echo."""

OPENING = 400
"""Characters at the beginning of an answer in which a refusal or boilerplate is looked for."""

CUT_REASONS = frozenset({"length", "max_tokens", "model_length", "incomplete"})
"""What services call the end of a generation that reached the limit of its length."""


def repeated_lines(text: str) -> float:
    """Share of the characters (0 to 1) in lines that stood before; lines of less than four letters do not count.

    After the duplicate lines of Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training
    Gopher", table A1, which leaves out web pages from 0.2.
    """
    return _repeated(text.split("\n"))


def repeated_sentences(text: str) -> float:
    """Share of the characters (0 to 1) in sentences that stood before; as `repeated_lines`."""
    return _repeated(_SENTENCE_END.split(text))


def repeated_words(text: str) -> float:
    """Share of the characters (0 to 1) of words in sequences of `GRAM` words that stood before, each word once.

    After the duplicate 5-grams of Rae et al. 2021, table A1, which leaves out web pages from 0.15.
    """
    said = text.split()
    grams = list(zip(*(said[start:] for start in range(GRAM)), strict=False))
    if len(set(grams)) == len(grams):
        return 0.0
    seen: set[tuple[str, ...]] = set()
    counted, characters = 0, 0
    for start, gram in enumerate(grams):
        if gram in seen:
            fresh = max(start, counted)
            characters += sum(map(len, said[fresh : start + GRAM]))
            counted = start + GRAM
        else:
            seen.add(gram)
    return characters / sum(map(len, said))


def has_run(text: str, least: int) -> bool:
    """Whether one letter, digit, exclamation or question mark stands `least` times or more in a row.

    Every such run covers a place whose number is a multiple of `least`, so that only those are looked at.
    """
    for place in range(least - 1, len(text), least):
        char = text[place]
        if char != text[place - 1] and (place + 1 == len(text) or char != text[place + 1]):
            continue
        if not (char.isalnum() or char in "!?"):
            continue
        around = text[place - least + 1 : place + least]
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
    if words(answer[:80])[:2] != words(question[:80])[:2]:
        return 0.0
    asked, said = words(question), words(answer)
    same = 0
    for one, other in zip(asked, said, strict=False):
        if one != other:
            break
        same += 1
    return same / len(said) if same >= max(ECHO_WORDS, 0.9 * len(asked)) else 0.0


def is_refusal(answer: str) -> bool:
    """Whether the answer begins by saying that the one who speaks cannot or will not do what is asked (English).

    It must be the speaker who cannot (`you cannot remove a running container` is advice), and what cannot be done must
    be help, talk or the like (`I can't wait`, `I cannot recommend it enough` are none). A quoted refusal is none, nor
    is one that goes on with `here is`. Where an assistant has tools, to refuse what they cannot do is a good answer.
    """
    opening = _opening(answer)
    return bool(_REFUSAL.match(opening)) and not _GOES_ON.search(opening)


def is_boilerplate(question: str, answer: str) -> bool:
    """Whether the answer begins with what a model says it lacks: `As an AI language model, I do not have` (English).

    None where the question is about that: where it speaks of an AI, a robot, a model, a human.
    """
    return bool(_BOILERPLATE.match(_opening(answer))) and not _ON_MODELS.search(question)


def is_truncated(answer: str, finish_reason: str | None = None) -> bool:
    """Whether the generation was cut: by what the service said, else where the text cannot end as it does.

    That is: in a fence of code that was not closed (unless on a sentence: then it was closed, not opened), in JSON that
    was not closed, or in prose on a comma, or on a word after which another must come (`the`, `because`). No
    punctuation at the end is no fault: commands have none.
    """
    if finish_reason is not None and finish_reason.lower() in CUT_REASONS:
        return True
    text = answer.rstrip()
    if "```" in text:
        if text.endswith("```"):
            return False
        if _ends_in_fence(text):
            return text[-1] not in ".!?"
    if text[:1] in ("{", "["):
        return _is_cut_json(text)
    last = text[text.rfind("\n") + 1 :][-200:]
    said = last.split()
    return len(said) >= 6 and bool(_HANGING.fullmatch(said[-1])) and not _NO_PROSE.search(last)


def ends_open(answer: str) -> bool:
    """Whether a long last line of prose ends without a mark that ends sentences.

    Only a hint, for no data set is written so strictly as to make it a fault of one row: a high share of such answers
    among otherwise punctuated ones says that generations were cut.
    """
    text = answer.rstrip()
    last = text[text.rfind("\n") + 1 :]
    return last[-1:].isalnum() and len(last.split()) >= 12 and not _NO_PROSE.search(last[-200:])


def _opening(answer: str) -> str:
    return answer[:OPENING].lstrip().replace("\u2019", "'")


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


_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_LETTERS = re.compile(r"(?:[^\W\d_][\W\d_]*){4}")
_LABEL = re.compile(r"\s*(?:#+\s*|\*\*)?(?:user|human|question|prompt|instruction|q)\s*:\**\s*", re.IGNORECASE)
_FENCE = re.compile(r"^ {0,3}(?:[-*+>] +)?(`{3,})([^`\n]*)$", re.MULTILINE)
_JSON_START = re.compile(r'[{\[]\s*(?:["{\[]|$)')
_NO_PROSE = re.compile(r"[`{}<>=|\\$#]|://|(?<!\S)--?\w")
_HANGING = re.compile(
    r"the|an|and|or|but|because|although|whereas|whose|their|its|your|my|our|of|than|into|is|are|which|while|[^\W\d_]+,"
)

_TO_A_PAUSE = r"[^.!?,\n]{1,60}?(?:[.!,]|(?=\ but\b))"
_COURTESY = rf"""
    (?:well|hi|hello|hey|oh|okay|ok|no)[,.!]?
  | thank(?:s|\ you)(?:\ for\ {_TO_A_PAUSE})?[,.!]?
  | (?:(?:i\ am|i'm|we\ are|we're)\ )?(?:really\ |very\ |so\ |truly\ |deeply\ )?(?:sorry|afraid)
        (?:\ (?:to|for|about|if)\ {_TO_A_PAUSE})?[,.!]?
  | (?:(?:i|we|my)\ )?(?:sincerely\ |deeply\ )?(?:apologi[sz]e|apologies)(?:\ (?:for|if|to)\ {_TO_A_PAUSE})?[,.!]?
  | (?:unfortunately|regrettably|however|but|that),?
  | (?:i\ )?regret\ to\ (?:inform\ you|say)
  | i\ understand\ [^.!?\n]{{1,80}}?(?:,(?=\ but\b)|[.!])
"""
_AS_AN_AI = r"""
    as\ (?:an?|your)\ (?:[\w-]+\ ){0,4}?(?:ai|assistant|chat\ ?bot|bot|model)\b
    (?:\ (?:language\ model|assistant|model|chat\ ?bot))?
    (?:\ (?:developed|trained|created|made|designed)\ [^.!?,\n]{1,50}(?=,))?,?
"""
# Below, courtesies are taken as atomic groups: else a text of many of them takes time exponential in their number.
_CANNOT = r"""(?:
    (?:can't|cannot|can\ not)(?:\ (?:and|or)\ (?:will\ not|won't))?
  | (?:won't|will\ not)(?:\ be\ able\ to)?
  | (?:must\ decline\ to|have\ to\ decline\ to|must\ refuse\ to)
  | \ ?(?:am|'m|are|'re)\ (?:currently\ |simply\ |just\ )?
        (?:unable|not\ able|not\ allowed|not\ permitted|not\ going)\ to
  | (?:am|'m)\ not\ comfortable(?:\ with)?
  | (?:do\ not|don't)\ feel\ comfortable(?:\ with)?
)\ (?:really\ |actually\ |directly\ |personally\ |currently\ |in\ good\ conscience\ |ethically\ )?"""
_HELP = r"""(?:
    (?:help(?!\ but\b)|helping|assist|assisting|comply|complying|oblige|participat\w+|engag\w+)\b
  | (?:fulfill?|fulfilling|complete|accept|grant|respond\ to|answer|satisfy|process)\ (?:that|this|your|such|any)\b
  | (?:do\ (?:that|this)|(?:say|(?:answer|discuss|reveal)(?:ing)?|(?:writ|shar|provid)(?:e|ing))\ (?:that|this|it|such))\b
  | (?:provid|giv|offer|shar|creat|generat|writ|produc|promot|encourag|support|facilitat|discuss|disclos|reveal)
      (?:e|es|ing)?\ (?:you\ )?(?:with\ )?(?:any\ |a\ |an\ |the\ )?(?:\w+\ ){0,4}
      (?:content|information|instructions?|advice|guidance|assistance|response|material|details|help|support)\b
  | (?:retrieve|provide|give|offer)\ (?:you\ )?(?:with\ )?(?:that|this|an?)
        \ (?:information|translation|answer|summary|opinion)\b
  | (?:tell|show|teach)\ you\ how\b
  | support\ (?:that|this|such|your)\b
  | perform\ (?:that|this|external|any)\b
  | (?:order|book|perform|place|make|schedule)\ (?!sense|sure|up)(?:\w+\ ){0,6}for\ you\b
)"""
_LACKS = r"""(?:
    (?:currently\ )?(?:do\ not|don't)\ have\ (?:the\ |that\ |any\ )?
        (?:(?:\w+\ )?(?:capability|capabilities|ability|permission|function)\b
            |access\ to\ (?:that|this|your|any|real|external|current|live|up-to-date|personal|information)\b)
  | (?:am|'m)\ not\ (?:capable|programmed|designed|authorized)\b
)"""
_REFUSAL = re.compile(
    rf"(?>(?:{_COURTESY}|{_AS_AN_AI})\s+)*+"
    rf"(?:(?:i|we)\s*(?:{_CANNOT}{_HELP}|(?:must|have\ to|need\ to)\ (?:respectfully\ )?(?:decline|refuse)\b|{_LACKS})"
    r"|(?:that|this|it)(?:'s|\ is)\ (?:not\ something\ (?:that\ )?(?:i|we)\ (?:can|will|am|are)"
    r"|not\ (?:appropriate|right|ethical|okay)\ for\ (?:me|us)\ to)\b"
    r"|(?:that|this|your|the)\ (?:request|question|content)\ (?:violates|goes\ against)\b"
    r"|(?:my\ )?(?:guidelines|programming|principles)\ (?:do\ not|don't|prohibit|prevent))",
    re.IGNORECASE | re.VERBOSE,
)
_GOES_ON = re.compile(r"\bhere(?:'s| is| are)\b", re.IGNORECASE)
_MODEL = r"(?:\w+[ -]){0,3}?(?:ai|artificial\ intelligence|language\ model|llm)\b"
_BOILERPLATE = re.compile(
    rf"""(?>(?:{_COURTESY})\s+)*+(?:
        as\ an?\ {_MODEL}
      | (?:i\ am|i'm)\ (?:just\ |only\ )?an?\ {_MODEL}
    )[^.!?\n]{{0,80}}?\b(?:not|no|cannot|can't|don't|unable|lack)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_ON_MODELS = re.compile(
    r"\b(?:AIs?|artificial intelligence|robots?|chat ?bots?|(?:language )?models?|human|LLMs?)\b", re.I
)
