"""Texts compared: the same, the same but for form, partly the same."""

import re
import string
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

from tasks.bounds.patterns import searcher

PUNCTUATION = str.maketrans("", "", string.punctuation)


def spaced(text: str) -> str:
    """Text with every run of white space as one space, and none at the ends."""
    return " ".join(text.split())


def plain(text: str) -> str:
    """Text in lower case without punctuation and English articles, as SQuAD's evaluation has it (Rajpurkar 2016)."""
    return spaced(re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(PUNCTUATION)))


def exact(output: str, reference: str) -> float:
    """1 where both are the same but for white space."""
    return float(spaced(output) == spaced(reference))


def normalised(output: str, reference: str) -> float:
    """1 where both are the same but for white space, case, punctuation and articles."""
    return float(plain(output) == plain(reference))


def contains(output: str, reference: str) -> float:
    """1 where the reference, if it is not empty, stands in the output, white space aside."""
    return float(bool(reference.strip()) and spaced(reference) in spaced(output))


def pattern(expression: str, key: str) -> Callable[[str, str], float]:
    """1 where the output holds what the expression says; with a group, where its first find there is the reference's.

    A reference in which the expression finds nothing is what the output's find must be itself. `key` is named where a
    search takes too long.
    """
    search = searcher(expression, key, re.MULTILINE)

    def compare(output: str, reference: str) -> float:
        output_match = search(output)
        if not output_match or not output_match.re.groups:
            return float(bool(output_match))
        reference_match = search(reference)
        return float(
            spaced(output_match[1] or "") == spaced((reference_match[1] or "") if reference_match else reference)
        )

    return compare


def f1(output: str, reference: str) -> float:
    """Harmonic mean of precision and recall of words, as SQuAD's evaluation has it."""
    output_words, reference_words = plain(output).split(), plain(reference).split()
    if not output_words or not reference_words:
        return float(output_words == reference_words)
    shared = sum((Counter(output_words) & Counter(reference_words)).values())
    return 2 * shared / (len(output_words) + len(reference_words))


def rouge(kind: str, output: str, reference: str) -> float:
    """F-measure of rouge1, rouge2 or rougeL without stemming (Lin 2004)."""
    return float(_rouge(kind).score(reference, output)[kind].fmeasure)


def bleu(output: str, reference: str) -> float:
    """BLEU of one answer, as sacrebleu has it for sentences: n-grams that cannot occur do not count."""
    return float(_sacrebleu("BLEU", effective_order=True).sentence_score(output, [reference]).score) / 100


def chrf(output: str, reference: str) -> float:
    """chrF of one answer: n-grams of characters (Popovic 2015)."""
    return float(_sacrebleu("CHRF").sentence_score(output, [reference]).score) / 100


@cache
def _rouge(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind])


@cache
def _sacrebleu(name: str, **options: Any) -> Any:
    import sacrebleu.metrics

    return getattr(sacrebleu.metrics, name)(**options)
