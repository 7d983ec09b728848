"""`temper new` and `temper upgrade`: a project of one's own, and a newer temper in it."""

import argparse
from pathlib import Path

from tasks.core.paths import PATHS

NAMES = "answer, chat, classify, code, continue, preference"


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add these commands to those of `temper`."""
    new = commands.add_parser("new", help="make a new project")
    new.add_argument("folder", type=Path, metavar="DIR", help="a new folder, named for the project")
    new.add_argument("--task", metavar="TASK", help=f"settings to start with: {NAMES}")
    new.add_argument("--source", type=Path, metavar="CLONE", help="a clone of temper; default: the one in use")
    new.add_argument("--no-setup", action="store_true", help="do not install anything yet")
    new.set_defaults(act=_new)
    upgrade = commands.add_parser("upgrade", help="upgrade this project to a newer temper")
    upgrade.add_argument("tag", nargs="?", metavar="TAG", help="default: the newest release")
    upgrade.set_defaults(act=_upgrade)


def _new(options: argparse.Namespace) -> int:
    from flows.release import new

    new.make(options.folder, options.task, options.source or new.release())
    ready = options.no_setup or new.setup(options.folder)
    print(f"{options.folder} is a project now. Next:\n")
    print(f"    cd {options.folder}{'' if ready and not options.no_setup else ' && make setup'}")
    print("    . .venv/bin/activate")
    print(f"    cp YOUR_ROWS {new.DATA}/ && temper look {new.DATA} && temper data add {new.DATA}")
    print(f"    temper config diff                       (what is set; see {PATHS.params} for the rest)")
    print(f"    temper run --set base.folder={new.MODELS}/YOUR_MODEL  (or base.hub=organisation/name@REVISION)")
    return 0 if ready else 1


def _upgrade(options: argparse.Namespace) -> int:
    from flows.plan import preflight
    from flows.release.upgrade import upgrade
    from flows.system.checkout_lock import checkout_lock

    preflight.project()
    with checkout_lock(print, wait=False):
        print("\n".join(upgrade(options.tag)))
    return 0
