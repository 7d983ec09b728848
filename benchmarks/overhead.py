"""`overhead`: the whole chain by `temper run`, against the same commands one after the other in a shell script.

The run is held to one stage at a time (`--jobs 1`), so that what it gains by parallel stages hides nothing.
"""

from statistics import median

from benchmarks.checkout import checkout, commands
from benchmarks.result import Result
from benchmarks.server import prefect_server

GOAL = 1.05

ROUNDS = {"small": 3, "default": 1}


def measure(full: bool) -> Result:
    """Interleaved rounds, each in checkouts of its own, on one server."""
    configuration = "default" if full else "small"
    orchestrated, bare = [], []
    with prefect_server() as url:
        for _ in range(ROUNDS[configuration]):
            with checkout(full=full) as place:
                bare.append(place.seconds("sh", "-ec", "\n".join(commands(place))))
            with checkout(full=full, server=url) as place:
                orchestrated.append(place.temper("run", "--jobs", "1"))
    ratio = median(orchestrated) / median(bare)
    detail = {
        "configuration": configuration,
        "rounds": ROUNDS[configuration],
        "temper_run_s": round(median(orchestrated), 1),
        "shell_script_s": round(median(bare), 1),
    }
    return Result("overhead", round(ratio, 3), "x shell script", GOAL, ratio <= GOAL, detail)
