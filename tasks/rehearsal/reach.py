"""What the test rows can show at all: the smallest difference that is not chance, beside the limits of `decide`.

    sentence(aside, section("evaluate"), section("decide"), quantised=True)

The rows are counted as `evaluate` asks them, and the difference is the one that `decide` calls detectable, at its best:
where every row in which two models differ speaks for the same one.
"""

from tasks.core.errors import InputError
from tasks.core.numbers import counted, enumerated, metric_name, shown
from tasks.core.paths import Paths
from tasks.decide.settings import Settings as Rules
from tasks.evaluate.metrics.registry import METRICS
from tasks.evaluate.prompting import likelihoods_alone
from tasks.evaluate.questions import rows
from tasks.evaluate.settings import Metric, Settings
from tasks.statistics.power import detectable_by_mcnemar, rows_for_mcnemar

LIMITS = ("gain", "quantised_loss", "best_loss")
"""Keys of `decide` that hold a difference on the test rows; 0 and null ask for none of a size."""


def sentence(aside: Paths, evaluate: Settings, rules: Rules, *, quantised: bool) -> str:
    """How many test rows are in `aside`, and what they can show; "" where none can be asked.

    `quantised`: whether there will be quantised models to judge.
    """
    try:
        asked, _ = rows(aside.rows("test"), texts=likelihoods_alone(evaluate))
    except InputError:  # said by who evaluates
        return ""
    count = min(len(asked), evaluate.limit or len(asked))
    start = f"decide: {counted(count, 'test rows')}"
    smallest, name = detectable_by_mcnemar(count, 0.0, rules.level), _right_or_wrong(evaluate, rules.metric)
    if smallest is None:
        few = rows_for_mcnemar(1.0, 1.0, rules.level)
        return f"{start}: too few to tell any difference from chance; it takes {few} at least (clean.test_share)."
    if name is None:
        return f"{start}. The decision says what difference they can show: it depends on how far their scores vary."
    least = f"{start}: a difference below {shown(smallest, 2)} in {metric_name(name)} cannot be told from chance"
    judged = [key for key in LIMITS if quantised or key != "quantised_loss"]
    limits = {key: limit for key in judged if (limit := getattr(rules, key)) and limit < smallest}
    if not limits:
        return f"{least}."
    keys = enumerated([f"decide.{key} = {shown(limit)}" for key, limit in limits.items()])
    needs = rows_for_mcnemar(min(limits.values()), 0.0, rules.level)
    return (
        f"{least}, and {keys} {'is' if len(limits) == 1 else 'are'} smaller: chance decides there. "
        f"{shown(min(limits.values()))} takes {needs:,} test rows; raise clean.test_share, or the limit."
    )


def _right_or_wrong(evaluate: Settings, decisive: str | None) -> str | None:
    """The score of the metric that decides which counts right rows, `accuracy` of one of classes; None where none
    does."""
    metric: Metric = next((one for one in evaluate.metrics if decisive in one.scores), evaluate.metrics[0])
    if METRICS[metric.kind].graded:
        return None
    return {"one": "accuracy", "several": "subset_accuracy"}.get(METRICS[metric.kind].classes, metric.column)
