"""Where the command `temper` begins: whose are the packages `flows` and `tasks`? Others have such names too.

A folder of that name on PYTHONPATH, or another distribution, may come before ours. So this module imports nothing of
either before it knows.
"""

import signal
import sys
from importlib.util import find_spec
from pathlib import Path

OURS = {"flows": "flows/cli/main.py", "tasks": "tasks/stages.py"}
"""Each of our packages, with a file by which the folder that holds it is known."""


def namesake(name: str, folder: Path) -> Path | None:
    """What Python takes for our package `name` where `folder` comes first on its path: None where that is ours."""
    if (folder / OURS[name]).is_file():
        return None
    candidates = (folder / name / "__init__.py", folder / f"{name}.py")
    return next((path for path in candidates if path.is_file()), None)


def main() -> int:
    """Carry out the command line; return the exit code, 1 where another package has the name of one of ours."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C in an import is a traceback; the command handles it later
    for name in OURS:
        spec = find_spec(name)
        holders = [Path(entry).parent for entry in spec.submodule_search_locations or ()] if spec else []
        if any((holder / OURS[name]).is_file() for holder in holders):
            continue
        first = spec and (spec.origin or next(iter(spec.submodule_search_locations or ()), None))
        print(
            f"temper: Python takes {first or 'nothing'} for {name}, a package of temper; take what holds it off "
            "PYTHONPATH, or install temper into an environment of its own.",
            file=sys.stderr,
        )
        return 1
    from flows.cli.main import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
