"""`reproduction`: `dvc repro` in two clones in different folders; every hash in dvc.lock is equal, weights included."""

from itertools import zip_longest

from benchmarks.checkout import checkout
from benchmarks.result import Result

GOAL = 0.0


def measure(full: bool) -> Result:
    """Count the lines in which the two files differ."""
    locks = []
    for _ in range(2):
        with checkout(full=full) as place:
            place.seconds("dvc", "repro")
            locks.append((place.root / "dvc.lock").read_text().splitlines())
    pairs = list(zip_longest(*locks))
    differing = [one or other for one, other in pairs if one != other]
    detail = {
        "configuration": "default" if full else "small",
        "lines": len(pairs),
        "hashes": sum("md5:" in line for line in locks[0]),
        "differing": differing[:20],
    }
    return Result("reproduction", float(len(differing)), "lines of dvc.lock", GOAL, not differing, detail)
