"""`temper run`: every stage up to date, watched in the terminal, and what it came to. `temper export`: one of them."""

import argparse
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

from flows.system import signals
from tasks.audit.arguments import whole
from tasks.core.errors import MachineError, SettingsError, TemperError
from tasks.core.files import write_text
from tasks.core.paths import PATHS

FORMATS = "ollama, adapters, meta, torchtune, litgpt, cog, or a scheme of quantize such as gguf-q4_k_m"

USE = {
    "ollama": "ollama create NAME -f {}/Modelfile",
    "adapters": "cd {} && sh serve.sh BASE",
    "cog": 'cd {} && cog predict -i prompt="..."',
}
"""What to type for a format, by its folder; of the other formats the folder says enough."""

SERVED = {"gguf": "llama-server --model {} --jinja --temp 0", "compressed": "vllm serve {}"}
"""The same for a scheme, by its writer and its file or folder; transformers loads what the others write."""


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add these commands to those of `temper`."""
    run = commands.add_parser("run", help="bring every stage up to date, running only what changed")
    run.set_defaults(act=execute, suggests=True)
    run.add_argument(
        "stages", nargs="*", metavar="STAGE", help="run only this stage and those it depends on; default: every stage"
    )
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=f"change {PATHS.params} before")
    run.add_argument(
        "--recipe", type=Path, metavar="FILE", help="start again from the defaults, with this YAML file over them"
    )
    run.add_argument("--force", action="append", default=[], metavar="STAGE", help="run stages even if nothing changed")
    run.add_argument(
        "--jobs",
        type=whole(1, "stages"),
        metavar="N",
        help="stages to run at once; default: as many as the machine allows",
    )
    run.add_argument("--no-wait", action="store_true", help="fail if another run is using this checkout")
    export = commands.add_parser("export", help="write the model in other formats, or quantised by another scheme")
    export.add_argument("formats", nargs="+", metavar="FORMAT", help=FORMATS)
    export.add_argument("--no-wait", action="store_true", help="fail if another run is using this checkout")
    export.set_defaults(act=_export)


def execute(options: argparse.Namespace) -> int:
    """Change settings as `options` say, and run what is wanted; the exit code."""
    from flows.plan import preflight
    from flows.server import connect
    from flows.system.checkout_lock import checkout_lock

    def ready() -> None:
        preflight.quick()
        preflight.check_stage_settings(Path(), options.stages, tell)  # others may be mended later

    gc.disable()  # collecting while Prefect and DVC are imported takes a fifth of a run in which nothing changed
    preflight.project()
    with checkout_lock(tell, wait=not options.no_wait):
        if options.set or options.recipe:
            from flows.params.config import keep
            from flows.params.model import change

            before = PATHS.params.read_text(encoding="utf-8") if PATHS.params.is_file() else ""
            lines = change(options.set, options.recipe)
            try:
                ready()
                preflight.inputs()
            except TemperError as error:
                if not lines:
                    raise
                write_text(PATHS.params, before)
                raise type(error)(
                    f"{error}\nNothing was written: {PATHS.params} is as it was. Repeat the whole command, corrected."
                ) from None
            if lines:
                keep(before)
            for line in lines:
                tell(f"{PATHS.params}: {line}")
        else:
            ready()
        page = connect.choose(tell)
        return _flow(options, page)


def _export(options: argparse.Namespace) -> int:
    from flows.plan import preflight
    from tasks.quantize.schemes import SCHEMES

    preflight.project()
    assignments, stages, folders = exports(options.formats)
    plain = {"recipe": None, "force": [], "jobs": None, "no_wait": options.no_wait, "suggests": False}
    code = execute(argparse.Namespace(set=assignments, stages=stages, **plain))
    for name, folder in folders.items():
        use = _use_of_scheme(SCHEMES[name].writer, folder) if name in SCHEMES else USE.get(name, "").format(folder)
        print(f"{name}: {folder}{f'   ({use})' if use else ''}")
    return code


def _use_of_scheme(writer: str, folder: Path) -> str:
    """What to do with what a scheme wrote."""
    path = next(folder.glob("*.gguf"), folder)
    command = SERVED.get(writer, "transformers loads it as it loads the model itself").format(path)
    return f"{command}; to pass the model on, {'this file' if path != folder else 'the folder'} is enough"


def exports(names: list[str]) -> tuple[list[str], list[str], dict[str, Path]]:
    """What to set, which stages to run, and the folder of each format: of ollama `export.formats=[ollama]`,
    `export@ollama` and data/exported/ollama. Raises `SettingsError` for a format that there is not."""
    from flows.params.model import model
    from tasks.core.settings import PARAMS, load
    from tasks.export.settings import FORMATS as KNOWN
    from tasks.named.choices import hint
    from tasks.quantize.schemes import SCHEMES

    params = load(model(), Path(PARAMS))
    listed = {"export.formats": list(params.export.formats), "quantize.schemes": list(params.quantize.schemes)}
    before = {key: list(values) for key, values in listed.items()}
    stages, folders = [], {}
    for name in names:
        if name == "gguf":
            types = ", ".join(scheme for scheme in SCHEMES if scheme.startswith("gguf-"))
            raise SettingsError(f"gguf needs a type; known: {types}.")
        if name not in KNOWN and name not in SCHEMES:
            raise SettingsError(f"there is no format {name}; {hint(name, (*KNOWN, *SCHEMES))}")
        exported = name in KNOWN
        values = listed["export.formats" if exported else "quantize.schemes"]
        values += [] if name in values else [name]
        stages.append(f"{'export' if exported else 'quantize'}@{name}")
        folders[name] = PATHS.exported(name) if exported else PATHS.quantized(name)
    changed = [f"{key}=[{', '.join(values)}]" for key, values in listed.items() if values != before[key]]
    return changed, stages, folders


def _flow(options: argparse.Namespace, page: str) -> int:
    import httpx

    from flows.cli.progress import Output, Terminal, tables
    from flows.finetune import finetune
    from flows.results.decision import sentence
    from flows.results.scores import legend, rows
    from flows.run.observer import observed_by
    from flows.server import connect
    from flows.worktree.zombies import reap

    gc.freeze()
    gc.enable()
    connect.wait()
    reap(tell)
    console = Output(highlight=False, width=None if sys.stdout.isatty() else 100)
    try:
        with Terminal(console) as terminal, observed_by(terminal):
            finetune(force=options.force, jobs=options.jobs, stages=options.stages)
    except httpx.HTTPError as error:
        if signals.received():
            raise
        print(
            f"temper run: the Prefect server no longer answers ({type(error).__name__}); "
            "finished stages are kept: run again.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # on a usual exit Prefect would try for minutes to send what it still has
    if options.stages and not options.suggests:  # who asked for them says what to do with what they made
        return 0
    if options.stages:
        console.print("\nNext:    temper run   (all other stages)")
        return 0
    if PATHS.comparison.exists():
        for block in tables(rows(), console.width):
            console.print()
            console.print(block)
        for line in legend():
            console.print(line)
    if rules := sentence():
        console.print()
        console.print(rules)
    console.print()
    if PATHS.page.exists():
        console.print(f"Report:  {PATHS.page}")
    for line in after(page):
        console.print(line)
    return 0


def after(page: str) -> list[str]:
    """Whether the model is in production already, and what to do next, a line each; `page`: Prefect's, or ""."""
    from flows.compare.production import already_in_production
    from flows.results.decision import decision

    steps = [
        f"temper run --set {rate()}=1e-3   (only stages that depend on it run again)",
        f"open {page}" if page else "temper ui   (and in another terminal: temper run)",
    ]
    promoted = ""
    with suppress(MachineError):  # no artifact of type model, or a commit that cannot be read: nothing to say of it
        promoted = already_in_production()
    if not promoted and (decided := decision()) and decided["promote"]:
        steps.insert(0, "temper promote   (registers the model of the last commit: commit this run first)")
    return [*filter(None, [promoted]), f"Next:    {steps[0]}", *(f"         {step}" for step in steps[1:])]


def rate() -> str:
    """The key of the learning rate to try next: that of `train`, or of `align` where it alone trains."""
    from flows.params.model import model
    from tasks.core.settings import load

    params = load(model(), PATHS.params)
    alone = not params.train.enabled and params.align.objective != "off"
    return f"{'align' if alone else 'train'}.learning_rate"


def tell(line: str) -> None:
    """Say something beside a command's output."""
    print(line, file=sys.stderr, flush=True)
