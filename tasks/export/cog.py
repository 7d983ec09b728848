"""A folder for Cog (`cog predict`, `cog push`): the model, its predictor, and a page to ask by.

https://github.com/replicate/cog/blob/main/docs/yaml.md
"""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.core.errors import ModelError
from tasks.core.files import write_text
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import reporter
from tasks.export.settings import Settings

FILES = Path(__file__).parent / "cog_files"

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate")
"""What the predictor imports, with what that needs of fixed versions."""

LEFT = shutil.ignore_patterns("merge.json", "settings.json", ".*", "*.log")
"""What of data/merged is no part of the model."""

PYTHON = "3.11"


def write_cog(settings: Settings, paths: Paths, out: Path) -> dict[str, Any]:
    """Write it; return the versions that it asks for. Raises `ModelError` where the model cannot be asked."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(paths.merged, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise ModelError(f"export cog: {PATHS.merged} has no chat template; set template.chat_template and run again.")
    _copy(paths.merged, out / "model")
    for name, file in (("predict.py", "predict.txt"), ("page.py", "page.txt"), ("index.html", "index.html")):
        shutil.copyfile(FILES / file, out / name)
    packages = {name: version(name).partition("+")[0] for name in PACKAGES}
    write_text(out / "requirements.txt", "".join(f"{name}=={number}\n" for name, number in packages.items()))
    write_text(out / "cog.yaml", configuration())
    return {"files": sum(file.is_file() for file in (out / "model").iterdir()), **packages}


def _copy(merged: Path, target: Path) -> None:
    report, done = reporter("export cog", sum(file.is_file() for file in merged.rglob("*")), "files"), 0

    def copy(source: str, destination: str) -> None:
        nonlocal done
        shutil.copyfile(source, destination)
        done += 1
        report(done)

    shutil.copytree(merged, target, ignore=LEFT, copy_function=copy)


def configuration() -> str:
    """The text of cog.yaml."""
    return (
        '# cog predict -i prompt="..."   or: cog serve, and in another terminal: python page.py\n'
        "build:\n"
        "  gpu: true  # runs without one, too\n"
        f'  python_version: "{PYTHON}"\n'
        "  python_requirements: requirements.txt\n"
        'predict: "predict.py:Predictor"\n'
    )
