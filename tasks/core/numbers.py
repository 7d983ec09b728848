"""Numbers, and the names of metrics, as people write them: in the terminal, log, report and card, on axes of plots.

>>> shown(13080), shown(0.6931472), shown(0.00021), shown(0.000002)
('13,080', '0.6931', '0.00021', '2e-6')
>>> counted(1, "rows"), counted(13080, "rows"), counted(1, "entries")
('1 row', '13,080 rows', '1 entry')
>>> duration(42), duration(600), storage(3 * 2**30)
('42 s', '10 min', '3.00 GiB')
>>> [metric_name(column) for column in ("exact_match", "macro_f1", "ndcg_at_10", "rougeL")]
['exact match', 'macro F1', 'nDCG@10', 'ROUGE-L']
"""

import math
import re
from collections.abc import Mapping, Sequence

PLAIN, LARGEST = 1e-4, 1e15
"""Sizes between which no power of ten is written."""

SPELLED = {
    "f1": "F1",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "bleu": "BLEU",
    "chrf": "chrF",
    "ndcg": "nDCG",
    "mrr": "MRR",
    "json": "JSON",
}
"""Words of columns that the literature writes otherwise."""


def shown(value: float, digits: int = 4) -> str:
    """`value` with `digits` significant digits at most, its whole part in groups of three and never rounded."""
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 10 ** (digits - 1) and abs(value) < LARGEST:
        return f"{round(value):,}"
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    if PLAIN <= abs(rounded) < LARGEST:
        places = digits - 1 - math.floor(math.log10(abs(rounded)))
        text = f"{rounded:,.{max(places, 0)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, power = f"{rounded:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"


def signed(value: float, digits: int = 4) -> str:
    """The same with its sign, for a difference."""
    return shown(value, digits) if value < 0 else f"+{shown(value, digits)}"


def counted(count: int, plural: str) -> str:
    """How many there are, with the noun in the number that goes with it; `plural`: its regular plural."""
    return f"{count:,} {plural if count != 1 else singular(plural)}"


def singular(plural: str) -> str:
    """One of them: row of rows, entry of entries, match of matches."""
    if plural.endswith("ies"):
        return f"{plural[:-3]}y"
    if plural.endswith(("ches", "shes", "sses", "xes")):
        return plural[:-2]
    return plural.removesuffix("s")


def listed(counts: Mapping[str, float]) -> str:
    """Numbers by their names: `train 2,350, test 240`."""
    return ", ".join(f"{name} {shown(count)}" for name, count in counts.items()) or "none"


def enumerated(names: Sequence[str]) -> str:
    """Names in a sentence: `base, base_system and base_few_shot`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def storage(amount: int) -> str:
    """Bytes of memory or disk, in the unit that keeps them short."""
    if amount >= 2**30:
        return f"{amount / 2**30:,.2f} GiB"
    return f"{amount / 2**20:.{0 if amount >= 10 * 2**20 else 1}f} MiB"


def metric_name(column: str) -> str:
    """The name of a metric by its column, which may also be one that a user gave it."""
    words = re.sub(r"_at_(?=\d+$)", "@", column).split("_")
    return " ".join(re.sub(r"^\w+", lambda word: SPELLED.get(word[0], word[0]), word) for word in words)
