"""`temper check` and `temper plan`: what would fail, what it would cost, and what would run."""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.core.errors import MachineError, SettingsError
from tasks.core.paths import PATHS

CARD = (
    "estimate memory for GPUs such as 24GB, 80GB x 8, or 80GB x 8 x 2 for two hosts with eight; without SIZE, for the "
    "GPUs of this machine"
)
RAM = "memory of each host, such as 1TB; also estimates offloading to it"


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add these commands to those of `temper`."""
    check = commands.add_parser("check", help="find everything that is wrong before a run, and estimate its cost")
    check.set_defaults(act=_check)
    check.add_argument("--time", action="store_true", help="train a few steps to estimate the total time")
    check.add_argument("--card", nargs="*", metavar="SIZE", help=CARD)
    check.add_argument("--ram", metavar="SIZE", help=RAM)
    plan = commands.add_parser("plan", help="show what would run, and why")
    plan.set_defaults(act=_plan, reads=True)
    plan.add_argument("--json", action="store_true", help="for programs")
    for command in (check, plan):
        command.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help=f"try this; {PATHS.params} stays as it is"
        )
        command.add_argument(
            "--recipe", type=Path, metavar="FILE", help="try the defaults, with this YAML file over them"
        )


def negatives_joined(words: list[str]) -> list[str]:
    """`words` with what is no memory, such as -3GB, as the value of its option: the sentence about it is ours."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--card", "--ram") and re.match(r"-\d", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


@contextmanager
def _trying(options: argparse.Namespace) -> Iterator[list[str]]:
    """Settings are as these options say within; the options of `temper run` that change params.yaml to that."""
    from flows.cli.run import tell
    from flows.params.config import tried
    from flows.plan import preflight
    from flows.system.checkout_lock import checkout_lock

    more = [f"--set={assignment}" for assignment in options.set]
    if options.recipe:
        more += ["--recipe", str(options.recipe)]
    if not more:
        yield []
        return
    preflight.project()
    with checkout_lock(tell), tried(options.set, options.recipe) as lines:
        for line in lines:
            tell(f"{PATHS.params}: {line}   (tried only; the file stays as it is)")
        yield more


def _check(options: argparse.Namespace) -> int:
    if options.ram and options.card is None:
        raise SettingsError("--ram needs --card; add it, as in --card 80GB x 8 --ram 1TB.")
    with _trying(options) as more:
        if options.card is not None:
            return _card(" ".join(options.card), options.ram or "")
        return _faults(options.time, shlex.join(["temper", "run", *more]))


def _faults(time: bool, command: str) -> int:
    """`time`: whether to train a few steps; `command`: what to type where there are none."""
    from flows.plan import preflight

    faults = preflight.faults()
    if not faults:
        from flows.plan.estimate import lines, probe_faults

        faults = probe_faults() if time else []
        report, shortfalls = lines()
        faults += shortfalls
        for line in report:
            print(line)
    for fault in faults:
        print(fault, file=sys.stderr)
    notes = preflight.notes()
    sys.stderr.flush()
    for note in notes:
        print(note, flush=True)
    if faults and notes:
        first = "the first" if len(faults) == 1 else f"the first {len(faults)}"
        print(f"Mend {first} of these {len(faults) + len(notes)} findings; the others stop no run.", file=sys.stderr)
    if not faults:
        print(f"Everything is ready. Next: {command}")
    return 1 if faults else 0


def _card(size: str, ram: str) -> int:
    """Before there are weights, data or a card: the rest of a check would ask for them."""
    from flows.plan.estimate import card

    report, faults = card(size, ram)
    print("\n".join(report))
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print("This is memory alone; without --card, temper check looks at data and settings.")
    return 1 if faults else 0


def _plan(options: argparse.Namespace) -> int:
    from flows.cli.run import tell
    from flows.plan import preflight
    from flows.plan.plan import as_json, as_text, asked, plan
    from flows.plan.unfinished import unfinished

    preflight.project()
    with _trying(options):
        preflight.quick()
        steps, lacking = asked(plan(tell)), ""
        try:
            preflight.inputs()
        except MachineError as error:
            lacking = str(error)
        trainings = list(unfinished())
    print(json.dumps(as_json(steps), indent=2) if options.json else as_text(steps))
    if lacking:
        tell(f"{lacking}\nA run would stop there. temper check says what else would.")
    if not options.json:
        for line in trainings:
            print(line)
    return 0
