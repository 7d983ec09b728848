"""`temper config`: what params.yaml sets beside the defaults, and the ways back."""

import argparse

from tasks.core.paths import PATHS


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this command to those of `temper`."""
    config = commands.add_parser("config", help="show changed settings, and reset them to their defaults")
    actions = config.add_subparsers(dest="what", required=True, metavar="ACTION")
    actions.add_parser("diff", help="list all keys that differ from their defaults").set_defaults(act=_diff)
    reset = actions.add_parser("reset", help="reset keys to their defaults")
    reset.add_argument("keys", nargs="*", metavar="KEY", help="such as train or train.lora; default: every key")
    reset.set_defaults(act=_reset)
    actions.add_parser("undo", help="undo temper's last change there").set_defaults(act=_undo)


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


def _print(lines: list[str], nothing: str) -> int:
    """A line for each key; or one sentence where there is none."""
    print("\n".join(lines) or nothing)
    return 0
