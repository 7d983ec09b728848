"""Questions of a benchmark that stand among its own examples: duplicates that its splits share.

Words are compared without their order, so that choices in another order hide nothing.
"""

import re
from collections import Counter
from itertools import islice
from typing import Any

WORD = re.compile(r"\w+")

Bag = tuple[str, ...]


def overlap(task: Any, limit: int | None) -> int:
    """How many of the questions that are asked stand among the rows that examples are drawn from; 0 without examples.

    Where examples come from the split that is asked, lm-eval leaves out the question itself; another row that is equal
    counts.
    """
    if not task.get_config("num_fewshot"):
        return 0
    examples = Counter(_bag(task, doc) for doc in task.fewshot_docs())
    questions = [_bag(task, doc) for doc in islice(task.eval_docs, limit)]
    itself = int(_from_the_same(task))
    return sum(examples[bag] > itself for bag in questions)


def _from_the_same(task: Any) -> bool:
    config = task.config
    asked_split = config.test_split or config.validation_split
    if config.fewshot_split is not None:
        return bool(config.fewshot_split == asked_split)
    if (config.fewshot_config or {}).get("samples") is not None:
        return False
    return bool((config.training_split or config.validation_split or asked_split) == asked_split)


def _bag(task: Any, doc: Any) -> Bag:
    """The words of a question and of its choices, sorted."""
    texts = [task.doc_to_text(doc)]
    if task.config.doc_to_choice is not None:
        texts += task.doc_to_choice(doc)
    return tuple(sorted(WORD.findall(" ".join(map(str, texts)).lower())))
