"""What data are looked at with: columns as settings would name them, a tokenizer, and the longest row that is right."""

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tasks.audit.arguments import whole
from tasks.core.errors import InputError, TemperError, advice, hub_faults, hub_reason, is_fault
from tasks.core.output import piped
from tasks.core.paths import PATHS

BAD_USE = 2
"""Exit code for what cannot be looked at."""

REPEATED = frozenset({"ignored", "labels"})
"""Keys of `clean.columns` that hold several names."""


class Subject(NamedTuple):
    """A tokenizer, ready for rows."""

    folder: Path
    tokenizer: Any
    templater: Any
    """tasks.template.rows.Templater"""
    longest: int | None
    """Tokens of the longest row that is right; None: nobody says."""
    source: str
    """Where that number comes from."""
    findings: dict[str, str]
    """What was put right about the tokenizer: slug -> message."""


def declare(command: argparse.ArgumentParser) -> None:
    """The arguments that say how data are read and templated."""
    command.add_argument("--tokenizer", metavar="DIR_OR_ID", help="a tokenizer's folder, or a model of the hub")
    command.add_argument(
        "--chat-template", metavar="FILE", help="a template by name or file, instead of the tokenizer's"
    )
    command.add_argument(
        "--max-length", type=whole(2, "tokens"), metavar="N", help="longest row, tokens; default: the tokenizer's"
    )
    command.add_argument(
        "--column",
        "--columns",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="as clean.columns: question, answer (or the class), system, text, classes, separator; labels and ignored, "
        "once a name; trained or masked=KEY",
    )
    command.add_argument("--shape", metavar="NAME", help="as clean.shape; default: by each row's keys")
    command.add_argument("--train-on", choices=("assistant", "last", "completion", "all"), default="assistant")


def carry_out(name: str, work: Callable[[], int]) -> int:
    """What `work` returns, or `BAD_USE` with one sentence on standard error. `name`: the command's."""
    os.environ.update(
        {"TOKENIZERS_PARALLELISM": "true", "TRANSFORMERS_VERBOSITY": "warning", "HF_HUB_DISABLE_TELEMETRY": "1"}
    )
    try:
        return piped(work)
    except TemperError as error:
        print(f"{name}: {error}", file=sys.stderr)
    except OSError as error:
        print(f"{name}: {advice(error)}", file=sys.stderr)
    except BaseException as error:  # nobody foresaw it
        if not is_fault(error):
            raise
        print(f"{name}: {_unforeseen(error)}", file=sys.stderr)
    return BAD_USE


def _unforeseen(error: BaseException) -> str:
    """One sentence on an error that nobody foresaw; the traceback goes to a file, for there may be no project here."""
    from tasks.core.unforeseen import LONGEST, library

    with tempfile.NamedTemporaryFile("w", prefix="temper-audit-", suffix=".txt", delete=False) as file:
        file.write("".join(traceback.format_exception(error)))
    message = " ".join(str(error).split())[:LONGEST].rstrip(".")
    return (
        f"{library(error)} raised {type(error).__name__}: {message}; something in the data, the template or the "
        f"tokenizer is of a form that nobody foresaw; the whole traceback is in {file.name}."
    )


def load(name: str, settings: Any, asked: int | None) -> Subject:
    """A tokenizer by its folder or name. `settings`: of the stage `template`; `asked`: longest row, tokens."""
    from tasks.chat.stops import stop_ids
    from tasks.template.rows import Templater
    from tasks.template.tokenizer import LONGEST, embedding_rows, eos_mismatch
    from tasks.template.tokenizer import load as load_tokenizer

    folder = tokenizer_folder(name)
    tokenizer, right = load_tokenizer(folder, settings)
    base = folder if (folder / "config.json").is_file() else None
    longest, source = _limit(base, tokenizer, asked)
    stops, rows = stop_ids(folder, tokenizer), embedding_rows(base, settings) if base else None
    templater = Templater(tokenizer, settings, stops, longest or LONGEST, rows)
    settled = templater.reconcile()  # first: it may choose the end token
    findings = eos_mismatch(folder, tokenizer) | settled | right
    return Subject(folder, tokenizer, templater, longest, source, findings)


def reading(options: argparse.Namespace) -> Any:
    """Settings of the stage `clean` that say how rows are read: a project's for its own rows, with the options over
    them. Raises `TemperError` for a role that there is not."""
    from pydantic import ValidationError

    from tasks.clean.settings import Columns, Settings

    values: dict[str, Any] = {}
    for pair in (part for argument in options.column for part in _pairs(argument)):
        role, separator, name = pair.partition("=")
        if role not in Columns.model_fields or not separator or not name:
            hint = " A row's class is its answer." if role in ("label", "class") else ""
            roles = ", ".join(Columns.model_fields)
            raise TemperError(f"--column {pair}: write ROLE=NAME, with ROLE one of {roles}.{hint}")
        if role in values and role not in REPEATED:
            raise TemperError(f"--column {pair}: {role} is {values[role]} already; name it once.")
        values[role] = (*values.get(role, ()), name) if role in REPEATED else name
    project = _of_project(options.data) or Settings()
    columns = project.columns.model_dump(exclude_defaults=True) | values
    try:
        return Settings(
            columns=Columns(**columns),
            shape=options.shape or project.shape,
            alpaca_instruction=project.alpaca_instruction,
        )
    except ValidationError as error:
        if options.shape is None:
            raise TemperError(f"--column: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from None
        shapes = ", ".join(Settings.model_fields["shape"].annotation.__args__)  # type: ignore[union-attr]
        raise TemperError(f"--shape {options.shape}: no such format; choose one of {shapes}.") from None


def _of_project(data: Path) -> Any:
    """Section `clean` of the project in this folder where `data` is its input; None elsewhere.

    What it says of the reading of rows is named on standard error: what is printed would not follow from DATA alone.
    """
    from tasks.clean.settings import Settings
    from tasks.core.settings import load, read

    section = read(PATHS.params, "safe").get("clean") if PATHS.params.is_file() else None
    if not isinstance(section, dict) or not isinstance(source := section.get("input", str(PATHS.generated)), str):
        return None
    here, there = data.resolve(), Path(source).resolve()
    if not (here.is_relative_to(there) or there.is_relative_to(here)):
        return None
    settings = load(Settings, PATHS.params, "clean")
    if keys := [key for key in ("columns", "shape", "alpaca_instruction") if key in section]:
        listed = ", ".join(f"clean.{key}" for key in keys)
        print(f"Rows are read by {listed} of {PATHS.params}; --column and --shape override it.", file=sys.stderr)
    return settings


def _pairs(argument: str) -> list[str]:
    """ROLE=NAME, or several of them between commas."""
    parts = argument.split(",")
    return parts if all("=" in part for part in parts) else [argument]


def _limit(base: Path | None, coder: Any, asked: int | None) -> tuple[int | None, str]:
    """The longest row that is right, and where the number comes from: what is asked for, or the base's context."""
    from tasks.template.tokenizer import LONGEST, context_length, max_length

    longest = context_length(base) if base else None
    if asked:
        beyond = longest is not None and longest < asked
        return (
            (longest, f"context of the base, for --max-length {asked} is beyond it")
            if beyond
            else (asked, "--max-length")
        )
    if base is None:
        known = coder.model_max_length < LONGEST
        return (coder.model_max_length if known else None), "model_max_length of the tokenizer"
    try:
        return max_length(coder, base, None)
    except InputError:
        return None, ""


def tokenizer_folder(name: str) -> Path:
    """A local folder, or that of a model in the hub's cache, downloaded where it is not there."""
    if Path(name).is_dir():
        return Path(name)
    if Path(name).exists() or name.startswith((".", "/")) or name.count("/") > 1:
        raise TemperError(f"{name}: no such folder with a tokenizer.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    refusals: tuple[type[Exception], ...] = (HFValidationError, *hub_faults())
    wanted = ["tokenizer*", "*.jinja", "*.model", "config.json", "generation_config.json", "special_tokens_map.json"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except refusals as error:
        raise TemperError(
            f"{name}: there is no such folder here, and it cannot be downloaded ({hub_reason(error)}); give the "
            "folder of a tokenizer or model, or ORGANISATION/NAME of one on the hub."
        ) from None
