"""Questions of a benchmark that stand among its own examples: duplicates that its splits share.

Words are compared without their order, so that choices in another order hide nothing.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

WORD = re.compile(r"\w+")

Bag = tuple[str, ...]


def overlap(task: Any, asked: Iterable[int]) -> int:
    """How many questions, those of the numbers `asked`, stand among the rows that examples are drawn from; 0 without
    examples.

    Where examples come from the split that is asked, the question itself does not count; another row that is equal
    does. Neither is ever shown beside the question (`tasks.evaluate.examples`).
    """
    if not task.get_config("num_fewshot"):
        return 0
    examples = Counter(bag(task, doc) for doc in task.fewshot_docs())
    docs = list(task.eval_docs)
    questions = [bag(task, docs[number]) for number in asked]
    itself = int(drawn_from_asked(task))
    return sum(examples[bag] > itself for bag in questions)


def drawn_from_asked(task: Any) -> bool:
    """Whether examples are drawn from the very split that is asked."""
    config, drawn = task.config, getattr(task, "fewshot_cfg", None)
    asked_split = config.test_split or config.validation_split
    if drawn is not None and drawn.split is not None:
        return bool(drawn.split == asked_split)
    if config.fewshot_config is not None and drawn is not None and drawn.samples is not None:
        return False
    return bool((config.training_split or config.validation_split or asked_split) == asked_split)


def bag(task: Any, doc: Any) -> Bag:
    """The words of a question and of its choices, sorted."""
    texts = [task.doc_to_text(doc)]
    if task.config.doc_to_choice is not None:
        texts += task.doc_to_choice(doc)
    return tuple(sorted(WORD.findall(" ".join(map(str, texts)).lower())))
