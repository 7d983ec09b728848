"""Take families through the chain: `python -m tests.families [NAME ...]`, all of them where none is named.

Prints a line for each step and, with `--out FILE`, writes the outcomes as JSON lines.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tasks.core.files import write_text
from tasks.core.fixed import FIXED
from tests.families.configurations import FAMILIES
from tests.families.page import PAGE, page


def preload() -> None:
    """Load what stages load, once, before they are forked from this process."""
    import torch

    import tasks.align.run
    import tasks.evaluate.run
    import tasks.export.run
    import tasks.merge.run
    import tasks.quantize.run
    import tasks.template.run
    import tasks.train.run  # noqa: F401

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    gc.disable()


def main(arguments: list[str]) -> None:
    """Run the families that `arguments` name."""
    parser = argparse.ArgumentParser(prog="python -m tests.families")
    parser.add_argument("names", nargs="*", choices=[*FAMILIES, []], metavar="NAME")
    parser.add_argument("--out", type=Path, help="file for the outcomes, a JSON object a line")
    parser.add_argument("--short", action="store_true", help="tuning and merging of an adapter only")
    parser.add_argument("--page", action="store_true", help="write docs/models.md and try nothing")
    options = parser.parse_args(arguments)
    if options.page:
        write_text(PAGE, page())
        return
    if any(os.environ.get(name) != value for name, value in FIXED.items()):
        os.environ.update(FIXED, OMP_NUM_THREADS="1")
        os.execv(sys.executable, [sys.executable, "-m", "tests.families", *arguments])
    preload()
    from tests.families.matrix import run

    with tempfile.TemporaryDirectory(prefix="temper-families-") as folder:
        for name in options.names or FAMILIES:
            for step, outcome in run(name, Path(folder) / name, short=options.short):
                if options.out:
                    with options.out.open("a") as file:
                        file.write(json.dumps({"family": name, "step": step, **asdict(outcome)}) + "\n")
                detail = outcome.sentence or json.dumps(outcome.facts)
                print(f"{name:16} {step:22} {outcome.verdict:8} {outcome.seconds:5.1f} s  {detail[:200]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
