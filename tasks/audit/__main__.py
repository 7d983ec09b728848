"""The command; see the package's docstring."""

import argparse
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from tasks.core.errors import TemperError, advice, is_fault
from tasks.core.imports import collect_seldom, without_torch
from tasks.core.library_warnings import tell_warnings

BAD_USE = 2


def main(arguments: list[str]) -> int:
    """Audit data or a template; returns the exit code."""
    os.environ.update(
        {"TOKENIZERS_PARALLELISM": "true", "TRANSFORMERS_VERBOSITY": "warning", "HF_HUB_DISABLE_TELEMETRY": "1"}
    )
    options = parser().parse_args(arguments)
    try:
        return _audit(options)
    except TemperError as error:
        print(f"temper audit: {error}", file=sys.stderr)
    except OSError as error:
        print(f"temper audit: {advice(error)}", file=sys.stderr)
    except BaseException as error:  # nobody foresaw it
        if not is_fault(error):
            raise
        print(f"temper audit: {_unforeseen(error)}", file=sys.stderr)
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


def parser() -> argparse.ArgumentParser:
    """The arguments of `temper audit`."""
    command = argparse.ArgumentParser(prog="temper audit", description="Everything that would go wrong with this data.")
    command.add_argument("data", nargs="?", type=Path, metavar="DATA", help="a file or folder, in any format and shape")
    command.add_argument("--tokenizer", metavar="DIR_OR_ID", help="a tokenizer's folder, or a model of the hub")
    command.add_argument(
        "--chat-template", metavar="FILE", help="a template by name or file, instead of the tokenizer's"
    )
    command.add_argument(
        "--max-length", type=_length, metavar="N", help="longest row, tokens; default: the tokenizer's"
    )
    command.add_argument(
        "--objective", choices=("sft", "dpo", "kto", "text"), help="what the rows are for; default: any"
    )
    command.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="as clean.columns: system, question, answer, text or ignored=COLUMN; trained or masked=KEY of turns",
    )
    command.add_argument("--train-on", choices=("assistant", "last", "completion", "all"), default="assistant")
    command.add_argument("--template", type=Path, metavar="FILE", help="audit a chat template by itself")
    command.add_argument("--json", action="store_true", help="one object, for programs")
    return command


def _length(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError("a whole number of tokens, at least 2")
    return int(text)


def _audit(options: argparse.Namespace) -> int:
    from tasks.template.settings import Settings

    if (options.data is None) == (options.template is None):
        raise TemperError("give either DATA or --template FILE; see temper audit --help.")
    if options.data is not None and options.tokenizer is None:
        raise TemperError("--tokenizer is missing: a tokenizer's folder, or a model of the hub.")
    if options.data is not None and not options.data.exists():
        raise TemperError(f"{options.data}: no such file or folder.")
    settings = Settings(train_on=options.train_on, chat_template=options.chat_template, max_length=options.max_length)
    report = _template(options, settings) if options.template else _data(options, settings)
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        from tasks.audit.render import render

        print(render(report))
    return 0 if report["ok"] else 1


def _data(options: argparse.Namespace, settings: Any) -> dict[str, Any]:
    from tasks.audit import data
    from tasks.audit.reasons import ALL, REASONS
    from tasks.chat.stops import stop_ids
    from tasks.template.audit import Account
    from tasks.template.rows import Templater
    from tasks.template.tokenizer import LONGEST, embedding_rows, eos_mismatch, load

    columns = _columns(options.column)
    folder = _folder(options.tokenizer)
    tokenizer, right = load(folder, settings)
    base = folder if (folder / "config.json").is_file() else None
    longest, source = _limit(base, tokenizer, options.max_length)
    templater = Templater(
        tokenizer,
        settings,
        stop_ids(folder, tokenizer),
        longest or LONGEST,
        embedding_rows(base, settings) if base else None,
    )
    settled = templater.reconcile()  # first: it may choose the end token
    right = eos_mismatch(folder, tokenizer) | settled | right
    account = Account("rows")
    shapes = data.audit(options.data, templater, options.objective, account, columns)
    if not account.rows.outs["rows"]:
        right["no_rows"] = f"{REASONS['no_rows'].meaning}: none of {account.rows.came} rows"
    summary = account.as_dict(ALL)
    limit = {"max_length": longest, "source": source if longest else "none known; give --max-length"}
    above = sum(1 for length in account.came if longest and length > longest)
    return {
        **_result(summary["findings"], right),
        "rows": account.rows.came,
        "shapes": shapes,
        "lengths": {**summary["lengths_before"], **limit, "above": above},
        "tokens": data.tokens(account, tokenizer),
        **({"reasoning": summary["reasoning"]} if summary["reasoning"]["turns"] else {}),
    }


def _columns(pairs: list[str]) -> Any:
    """`clean.columns` from `ROLE=NAME` each. Raises `TemperError` for a role that there is not."""
    from tasks.clean.settings import Columns

    values: dict[str, Any] = {}
    for pair in pairs:
        role, separator, name = pair.partition("=")
        if role not in Columns.model_fields or not separator or not name:
            raise TemperError(f"--column {pair}: write ROLE=NAME, with ROLE one of {', '.join(Columns.model_fields)}.")
        values[role] = (*values.get(role, ()), name) if role == "ignored" else name
    return Columns(**values)


def _template(options: argparse.Namespace, settings: Any) -> dict[str, Any]:
    from tasks.audit.template import audit
    from tasks.template.tokenizer import read

    tokenizer = read(_folder(options.tokenizer), settings) if options.tokenizer else None
    findings, failed, right, kept = audit(settings, tokenizer, options.template)
    result = _result(findings.as_list(), right)
    return {
        **result,
        "rows": len(failed),
        "dialogues": failed,
        "shapes": {},
        "lengths": {},
        "tokens": {},
        "reasoning": kept,
    }


def _result(findings: list[dict[str, Any]], right: dict[str, str]) -> dict[str, Any]:
    """Findings of the rows and of the tokenizer, errors first, and whether there is no error."""
    from tasks.audit.reasons import REASONS, STRICT

    rows = [
        {**finding, "severity": "error" if finding["check"] in STRICT else finding["severity"]} for finding in findings
    ]
    whole = [
        {"check": slug, "severity": REASONS[slug].severity, "rows": 0, "examples": [], "message": message}
        for slug, message in right.items()
    ]
    listed = sorted([*rows, *whole], key=lambda finding: finding["severity"] != "error")
    return {"ok": all(finding["severity"] != "error" for finding in listed), "findings": listed}


def _limit(base: Path | None, coder: Any, asked: int | None) -> tuple[int | None, str]:
    """The longest row that is right, and where the number comes from: what is asked for, or the base's context."""
    from tasks.core.errors import InputError
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


def _folder(name: str) -> Path:
    """A local folder, or that of a model in the hub's cache, downloaded where it is not there."""
    if Path(name).is_dir():
        return Path(name)
    if Path(name).exists() or name.startswith((".", "/")) or name.count("/") > 1:
        raise TemperError(f"{name}: no such folder with a tokenizer.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["tokenizer*", "*.jinja", "*.model", "config.json", "generation_config.json", "special_tokens_map.json"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TemperError(f"{name}: no local folder, and the hub cannot give it ({reason}).") from None


if __name__ == "__main__":
    collect_seldom()
    without_torch()
    tell_warnings(sys.stderr)  # standard output may be one object, for programs
    sys.exit(main(sys.argv[1:]))
