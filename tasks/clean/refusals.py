"""Answers that say that they cannot or will not: refusals, and what models say they lack (English)."""

import re

OPENING = 400
"""Characters at the beginning of an answer in which a refusal or boilerplate is looked for."""


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


def _opening(answer: str) -> str:
    return answer[:OPENING].lstrip().replace("\u2019", "'")


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
  | do\ (?:that|this)\b
  | (?:say|(?:answer|discuss|reveal)(?:ing)?|(?:writ|shar|provid)(?:e|ing))\ (?:that|this|it|such)\b
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
