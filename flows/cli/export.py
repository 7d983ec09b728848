"""`temper export FORMAT`: the model in a format of `export.formats`, or quantised by a scheme of `quantize.schemes`."""

import argparse
from pathlib import Path

from flows.cli import run
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS

FORMATS = "ollama, adapters, meta, torchtune, litgpt, cog, or a scheme of quantize such as gguf-q4_k_m"

USE = {
    "ollama": "ollama create NAME -f {}/Modelfile",
    "adapters": "cd {} && sh serve.sh BASE",
    "cog": 'cd {} && cog predict -i prompt="..."',
}
"""What to type for a format, by its folder; of the others the folder says enough."""


def declare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add this command to those of `temper`."""
    export = commands.add_parser("export", help="write the model in other formats, or quantised by another scheme")
    export.add_argument("formats", nargs="+", metavar="FORMAT", help=FORMATS)
    export.add_argument("--no-wait", action="store_true", help="fail if another run is using this checkout")
    export.set_defaults(act=_export)


def _export(options: argparse.Namespace) -> int:
    from flows.plan import preflight

    preflight.project()
    assignments, stages, folders = wanted(options.formats)
    plain = {"recipe": None, "force": [], "jobs": None, "no_wait": options.no_wait}
    code = run.execute(argparse.Namespace(set=assignments, stages=stages, **plain))
    for name, folder in folders.items():
        print(f"{name}: {folder}{f'   ({USE[name].format(folder)})' if name in USE else ''}")
    return code


def wanted(names: list[str]) -> tuple[list[str], list[str], dict[str, Path]]:
    """What to set, which stages to run, and the folder of each format: of ollama `export.formats=[ollama]`,
    `export@ollama` and data/exported/ollama. Raises `SettingsError` for a format that there is not."""
    from flows.params.model import model
    from tasks.core.settings import PARAMS, hint, load
    from tasks.export.settings import FORMATS as KNOWN
    from tasks.quantize.schemes import SCHEMES

    params = load(model(), Path(PARAMS))
    listed = {"export.formats": list(params.export.formats), "quantize.schemes": list(params.quantize.schemes)}
    before = {key: list(values) for key, values in listed.items()}
    stages, folders = [], {}
    for name in names:
        if name not in KNOWN and name not in SCHEMES:
            raise SettingsError(f"there is no format {name}; {hint(name, (*KNOWN, *SCHEMES))}")
        exported = name in KNOWN
        values = listed["export.formats" if exported else "quantize.schemes"]
        values += [] if name in values else [name]
        stages.append(f"{'export' if exported else 'quantize'}@{name}")
        folders[name] = PATHS.exported(name) if exported else PATHS.quantized(name)
    changed = [f"{key}=[{', '.join(values)}]" for key, values in listed.items() if values != before[key]]
    return changed, stages, folders
