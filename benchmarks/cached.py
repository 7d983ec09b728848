"""`cached`: a run in which nothing changed, against an empty Prefect flow plus a `dvc repro` with nothing to do."""

from statistics import median

from benchmarks.checkout import checkout, commands
from benchmarks.result import Result
from benchmarks.server import ask, prefect_server

ROUNDS = 7

GOAL = 1.0
"""Seconds of `temper run` for each second of the other two together."""

STAGE_GOAL = 100.0
"""Milliseconds a stage inside the flow."""


def measure(full: bool) -> Result:
    """Interleaved rounds on one checkout and one server; the first round warms up and is not counted."""
    with prefect_server() as url, checkout(full=full, server=url) as place:
        place.temper("run")
        tasks = len(commands(place))
        runs, flows, empties, repros = [], [], [], []
        for number in range(ROUNDS + 1):
            run = place.temper("run")
            newest = ask(url, "flow_runs/filter", sort="START_TIME_DESC", limit=1)[0]
            empty = place.python("-m", "benchmarks.empty", str(tasks))
            repro = place.seconds("dvc", "repro")
            if number:
                runs.append(run)
                flows.append(newest["total_run_time"])
                empties.append(empty)
                repros.append(repro)
    ratio = median(runs) / (median(empties) + median(repros))
    stage = 1000 * median(flows) / tasks
    detail = {
        "configuration": "default" if full else "small",
        "stages": tasks,
        "rounds": ROUNDS,
        "ms_a_stage_inside_the_flow": round(stage, 1),
        "ms_a_stage_goal": STAGE_GOAL,
        "temper_run_s": round(median(runs), 2),
        "empty_flow_s": round(median(empties), 2),
        "dvc_repro_s": round(median(repros), 2),
    }
    ok = ratio <= GOAL and stage <= STAGE_GOAL
    return Result("cached", round(ratio, 3), "x (empty flow + dvc repro)", GOAL, ok, detail)
