"""Places of values in their order: numbers as they rise, texts as their characters do."""

from typing import Any

import pyarrow.compute as pc


def ranks(values: Any) -> Any:
    """For each of `N` numbers or texts in a column of Arrow its rank from 1, equal ones alike (N, int64).

    ranks(pa.chunked_array([["b", "a", "b"]])).tolist()  # [2, 1, 2]
    """
    return pc.rank(values, tiebreaker="dense").to_numpy().astype("int64")
