"""The command; see the package's docstring."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tasks.audit.subject import carry_out, declare, load, reading, tokenizer_folder
from tasks.core.errors import TemperError
from tasks.core.imports import collect_seldom, without_torch
from tasks.core.library_warnings import tell_warnings
from tasks.core.numbers import counted


def main(arguments: list[str]) -> int:
    """Audit data or a template; returns the exit code."""
    return carry_out("temper audit", lambda: _audit(parser().parse_args(arguments)))


def parser() -> argparse.ArgumentParser:
    """The arguments of `temper audit`."""
    command = argparse.ArgumentParser(prog="temper audit", description="Everything that would go wrong with this data.")
    command.add_argument("data", nargs="?", type=Path, metavar="DATA", help="a file or folder, in any format and shape")
    declare(command)
    command.add_argument(
        "--objective", choices=("sft", "dpo", "kto", "text"), help="what the rows are for; default: any"
    )
    command.add_argument("--template", type=Path, metavar="FILE", help="audit a chat template by itself")
    command.add_argument("--json", action="store_true", help="one object, for programs")
    return command


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
    from tasks.template.audit import Account

    how = reading(options)
    _, tokenizer, templater, longest, source, right = load(options.tokenizer, settings, options.max_length)
    if "no_template" in right:
        right["no_template"] = (
            f"{REASONS['no_template'].meaning}, with --chat-template here and template.chat_template in a project, "
            "such as plain; the rows below are written with plain"
        )
    account = Account("rows")
    shapes = data.audit(options.data, templater, options.objective, account, how)
    if not account.rows.outs["rows"]:
        right["no_rows"] = f"{REASONS['no_rows'].meaning}: none of {counted(account.rows.came, 'rows')}"
    summary = account.as_dict(ALL)
    limit = {"max_length": longest, "source": source if longest else "none known; give --max-length"}
    above = sum(1 for length in account.came if longest and length > longest)
    return {
        **_result(summary["findings"], right),
        "rows": account.rows.came,
        "kept": account.rows.outs["rows"],
        "shapes": shapes,
        "lengths": {**summary["lengths_before"], **limit, "above": above},
        "tokens": data.tokens(account, tokenizer),
        **({"reasoning": summary["reasoning"]} if summary["reasoning"]["turns"] else {}),
    }


def _template(options: argparse.Namespace, settings: Any) -> dict[str, Any]:
    from tasks.audit.template import audit
    from tasks.template.tokenizer import read

    tokenizer = read(tokenizer_folder(options.tokenizer), settings) if options.tokenizer else None
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


if __name__ == "__main__":
    collect_seldom()
    without_torch()
    tell_warnings(sys.stderr)  # standard output may be one object, for programs
    sys.exit(main(sys.argv[1:]))
