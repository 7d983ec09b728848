"""The columns of metrics as a person reads them: terminal, log, report, card, page of runs.

>>> [metric_name(column) for column in ("exact_match", "macro_f1", "ndcg_at_10", "rougeL")]
['exact match', 'macro F1', 'nDCG@10', 'ROUGE-L']
"""

import re

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


def metric_name(column: str) -> str:
    """The name of a metric by its column, which may also be one that a user gave it."""
    words = re.sub(r"_at_(?=\d+$)", "@", column).split("_")
    return " ".join(re.sub(r"^\w+", lambda word: SPELLED.get(word[0], word[0]), word) for word in words)
