"""`temper new`, `temper upgrade` and `temper config`: a project of one's own, a newer temper in it, its settings."""

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
    config = commands.add_parser("config", help="show changed settings, and reset them to their defaults")
    actions = config.add_subparsers(dest="what", required=True, metavar="ACTION")
    actions.add_parser("diff", help="list all keys that differ from their defaults").set_defaults(act=_diff, reads=True)
    reset = actions.add_parser("reset", help="reset keys to their defaults")
    reset.add_argument("keys", nargs="*", metavar="KEY", help="such as train or train.lora; default: every key")
    reset.set_defaults(act=_reset)
    actions.add_parser("undo", help="undo temper's last change; again: the one before").set_defaults(act=_undo)
    actions.add_parser("redo", help="take the last undo back").set_defaults(act=_redo)


def _new(options: argparse.Namespace) -> int:
    from flows.release import new

    new.make(options.folder, options.task, options.source or new.release())
    ready = options.no_setup or new.setup(options.folder)
    print(f"{options.folder} is a project now. Next:\n")
    print(f"    cd {options.folder}{'' if ready and not options.no_setup else ' && make setup'}")
    print("    . .venv/bin/activate")
    print(f"    cp YOUR_ROWS {new.DATA}/ && temper look {new.DATA} && temper data add {new.DATA}")
    print(f"    temper config diff                       (what is set; see {PATHS.params} for the rest)")
    print("    temper run --set base.hub=organisation/name@REVISION")
    print(f"    git remote add {new.OWN} URL && git push --set-upstream {new.OWN} HEAD    (a repository of yours)")
    print(f"\nOr with a model of your own in {new.MODELS}, which DVC keeps as it does your rows:")
    print(f"    temper data add {new.MODELS}/YOUR_MODEL && temper run --set base.folder={new.MODELS}/YOUR_MODEL")
    return 0 if ready else 1


def _upgrade(options: argparse.Namespace) -> int:
    from flows.plan import preflight
    from flows.release.upgrade import upgrade
    from flows.system.checkout_lock import checkout_lock

    preflight.project()
    with checkout_lock(print, wait=False):
        print("\n".join(upgrade(options.tag)))
    return 0


def _diff(options: argparse.Namespace) -> int:
    from flows.params.config import differences

    return _print(differences(), f"{PATHS.params} leaves every key at its default.")


def _reset(options: argparse.Namespace) -> int:
    from flows.params.config import reset_file
    from flows.system.checkout_lock import checkout_lock

    with checkout_lock(print, wait=False):
        return _print(reset_file(tuple(options.keys)), "Nothing to reset: every key has its default.")


def _undo(options: argparse.Namespace) -> int:
    from flows.params.config import undo
    from flows.system.checkout_lock import checkout_lock

    with checkout_lock(print, wait=False):
        return _print(undo(), f"{PATHS.params} is unchanged.")


def _redo(options: argparse.Namespace) -> int:
    from flows.params.config import redo
    from flows.system.checkout_lock import checkout_lock

    with checkout_lock(print, wait=False):
        return _print(redo(), f"{PATHS.params} is unchanged.")


def _print(lines: list[str], nothing: str) -> int:
    """A line for each key; or one sentence where there is none."""
    print("\n".join(lines) or nothing)
    return 0
