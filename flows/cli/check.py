"""`temper check` and `temper plan`: what would fail, what it would cost, and what would run."""

import argparse
import json
import re
import sys

from tasks.core.errors import SettingsError

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


def negatives_joined(words: list[str]) -> list[str]:
    """`words` with what is no memory, such as -3GB, as the value of its option: the sentence about it is ours."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--card", "--ram") and re.match(r"-\d", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _check(options: argparse.Namespace) -> int:
    from flows.plan import preflight

    if options.ram and options.card is None:
        raise SettingsError("--ram needs --card; add it, as in --card 80GB x 8 --ram 1TB.")
    if options.card is not None:
        return _card(" ".join(options.card), options.ram or "")
    faults = preflight.faults()
    if not faults:
        from flows.plan.estimate import lines, probe_faults

        faults = probe_faults() if options.time else []
        report, shortfalls = lines()
        faults += shortfalls
        for line in report:
            print(line)
    for fault in faults:
        print(fault, file=sys.stderr)
    for note in preflight.notes():
        print(note)
    if not faults:
        print("Everything is ready. Next: temper run")
    return 1 if faults else 0


def _card(size: str, ram: str) -> int:
    """Before there are weights, data or a card: the rest of a check would ask for them."""
    from flows.plan.estimate import card

    report, faults = card(size, ram)
    print("\n".join(report))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _plan(options: argparse.Namespace) -> int:
    from flows.plan import preflight
    from flows.plan.plan import as_json, as_text, asked, plan

    preflight.project()
    preflight.quick()
    steps = asked(plan())
    print(json.dumps(as_json(steps), indent=2) if options.json else as_text(steps))
    return 0
