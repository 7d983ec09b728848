"""Examples of a benchmark that no question sees itself among, whichever split they are drawn from.

lm-eval leaves the question out only where `fewshot_split` is the very `test_split`: a task that asks its validation
split, or that names no split for examples and has no other, showed questions beside their own answers.
"""

from typing import Any

from tasks.core.errors import InputError
from tasks.evaluate.overlap import bag


def keep_question_out(task: Any) -> None:
    """Have `task` (of lm-eval) draw another example wherever the question itself, or one of its words, was drawn.

    Where none was, the examples are those of lm-eval. Raises `InputError` at a question for which too few are left.
    """
    sampler = getattr(task, "sampler", None)
    if sampler is None:  # a task in Python draws by itself, and leaves the question out
        return
    context, draw = task.fewshot_context, sampler.sample
    asked: list[Any] = []

    def fewshot_context(doc: Any, *args: Any, **kwargs: Any) -> Any:
        asked[:] = [doc]
        return context(doc, *args, **kwargs)

    def sample(n: int, *args: Any, **kwargs: Any) -> list[Any]:
        try:
            drawn = list(draw(n, *args, **kwargs))
        except (ValueError, AssertionError):  # lm-eval draws one more than it needs
            drawn = []
        (question,) = asked
        words = bag(task, question)
        kept = [doc for doc in drawn if not _same(task, doc, question, words)]
        if len(kept) < n:
            others = [
                doc for doc in sampler.fewshot_docs() if doc not in kept and not _same(task, doc, question, words)
            ]
            if len(kept) + len(others) < n:
                raise InputError(
                    f"evaluate.benchmarks: {task.config.task} has {len(kept) + len(others)} examples per question, not "
                    f"counting itself, which is fewer than its {n} shots; lower its shots."
                )
            missing = n - len(kept)
            kept += (
                others[:missing] if type(sampler).__name__ == "FirstNSampler" else sampler.rnd.sample(others, missing)
            )
        return kept

    for owner, name, method in ((task, "fewshot_context", fewshot_context), (sampler, "sample", sample)):
        setattr(owner, name, method)


def _same(task: Any, doc: Any, question: Any, words: tuple[str, ...]) -> bool:
    return bool(doc == question) or (bool(words) and bag(task, doc) == words)
