"""Which language a text is in, offline.

By py3langid (after Lui and Baldwin 2012, "langid.py: An Off-the-shelf Language Identification Tool"): naive Bayes over
sequences of bytes, 114 languages with a code of ISO 639-1, and one class for what is no language. Of the libraries that
need no download it is the quickest by far, as right on short texts as the best, and its confidence is low where a
text is too short or no prose, instead of a guess.
"""

import re
from functools import cache
from typing import Any

ENOUGH = 0.5
"""Confidence (0 to 1) below which a text counts as being in no known language; a right answer seldom has less."""

SAMPLE = 200
"""Characters that are looked at; more of them make the answer no better, and slower."""

_PROSE = 0.5
"""Share of the characters (0 to 1) that must stand in words and not in flags, paths, numbers, markup."""

_NO_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[^<>\n]{1,80}>", re.DOTALL)
_NO_WORD = re.compile(r"[\d_=/\\{}<>$|#@*+~^\[\]&]|^-|\w[.:(]+\w")
_NO_LANGUAGE = "zxx"


def language(text: str) -> tuple[str | None, float]:
    """The language of `text` by its code of ISO 639-1, and the confidence (0 to 1).

    None for what is too short to tell, for code, commands and data; code in backticks amid prose is passed over. A text
    in two languages has the one that it begins with, or None.
    """
    sample = text[: 4 * SAMPLE]
    if "`" in sample or "<" in sample or "://" in sample:
        sample = _NO_PROSE.sub(" ", sample)
    sample = sample[:SAMPLE]
    tokens = sample.split()
    words = [token for token in tokens if not _NO_WORD.search(token)]
    if sum(map(len, words)) < max(2, _PROSE * sum(map(len, tokens))):
        return None, 0.0
    name, confidence = _identifier().classify(" ".join(words))
    confidence = round(confidence, 3)  # beyond that it depends on the processor
    return (None if name == _NO_LANGUAGE or confidence < ENOUGH else name), confidence


def known_languages() -> frozenset[str]:
    """Codes of the languages that can be identified."""
    return frozenset(_identifier().labels) - {_NO_LANGUAGE}


@cache
def _identifier() -> Any:
    """The model, once a process."""
    import numpy
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([name for name in identifier.labels if len(name) == 2 or name == _NO_LANGUAGE])
    # as numbers that the processor can add at once, row by row: four times as quick for 25 MB more
    identifier.nb_ptc = numpy.ascontiguousarray(identifier.nb_ptc, dtype=numpy.float32)
    return identifier
