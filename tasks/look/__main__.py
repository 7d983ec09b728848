"""The command; see the package's docstring."""

import argparse
import sys
from pathlib import Path

from tasks.audit.arguments import whole
from tasks.audit.subject import Subject, carry_out, declare, load, reading
from tasks.core.errors import TemperError
from tasks.core.imports import collect_seldom, without_torch
from tasks.core.library_warnings import tell_warnings
from tasks.core.paths import PATHS

SHOWN, LONGEST = 3, 400
"""Rows of each kind that are shown, and tokens of each in a terminal."""

NARROW = 100
"""Columns of what is no terminal."""


def main(arguments: list[str]) -> int:
    """Look at data; returns the exit code."""
    return carry_out("temper look", lambda: _look(parser().parse_args(arguments)))


def parser() -> argparse.ArgumentParser:
    """The arguments of `temper look`."""
    command = argparse.ArgumentParser(
        prog="temper look", description="What your data contain, and how they would be trained on."
    )
    command.add_argument("data", type=Path, metavar="DATA", help="a file or folder, in any format and shape")
    declare(command)
    command.add_argument(
        "--rows", type=whole(1, "rows"), default=20_000, metavar="N", help="rows to read; default: 20000"
    )
    command.add_argument("--page", type=Path, metavar="FILE", help="also write an HTML page")
    return command


def _look(options: argparse.Namespace) -> int:
    from tasks.look import page
    from tasks.look.render import staying
    from tasks.look.survey import look

    if not options.data.exists():
        raise TemperError(f"{options.data}: no such file or folder.")
    if options.page and options.page.is_dir():
        raise TemperError(f"--page {options.page}: a folder; name a file, such as {options.page / 'look.html'}.")
    subject = _subject(options)
    view = look(options.data, reading(options), subject, options.rows, SHOWN)
    if subject and "no_template" in subject.findings:
        view.hints.append(
            "The tokenizer has no chat template, so rows are shown in plain; choose one with --chat-template."
        )
    tokenizer = subject.tokenizer if subject else None
    _print(view, tokenizer)
    if options.page:
        page.write(options.page, str(options.data), view, tokenizer, SHOWN)
        print(f"\nPage: {options.page}")
    print(f"\n{staying(view)}")
    return 0 if view.usable else 1


def _subject(options: argparse.Namespace) -> Subject | None:
    """The tokenizer that is asked for, else that of the project's base, else none."""
    from tasks.template.settings import Settings

    name = options.tokenizer or next((str(folder) for folder in _OWN if (folder / "tokenizer.json").is_file()), None)
    if name is None:
        return None
    settings = Settings(train_on=options.train_on, chat_template=options.chat_template, max_length=options.max_length)
    return load(name, settings, options.max_length)


_OWN = (PATHS.tokenizer, PATHS.base / "model", PATHS.base)
"""Folders of a project with a tokenizer, the one that training uses first."""


def _print(view: object, tokenizer: object) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tasks.look.render import bar, charts, facts, pieces
    from tasks.look.survey import View

    assert isinstance(view, View)
    terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if terminal else NARROW)
    for fact in facts(view):
        console.print(Text(_shown(fact)))
    for chart in charts(view):
        console.print(Text(f"\n{chart.title}", style="bold"), Text(f"({_shown(chart.note)})") if chart.note else "")
        most = max(count for _, count in chart.counts) or 1
        table = Table.grid(padding=(0, 2))
        for label, count in chart.counts:
            table.add_row(
                Text(_shown(label)), Text(f"{count:,}", justify="right"), Text(bar(count, most), style="blue")
            )
        console.print(table)
    if tokenizer is None:
        console.print("\nWith --tokenizer DIR_OR_ID you see tokens, and rows as they are trained.")
        return
    for outcome in view.outcomes:
        console.print(
            Text(f"\nRow {_shown(outcome.id)}: {outcome.trained} of {outcome.tokens} tokens are trained", "bold")
        )
        text = Text()
        for piece, trained in pieces(outcome, tokenizer, LONGEST):
            marked = piece if terminal or not trained or not piece else f"[[{piece}]]"
            text.append(_shown(marked, "\n"), style="green underline" if trained else "")
        text.rstrip()
        console.print(text)


def _shown(text: str, kept: str = "") -> str:
    """A text of strangers without what a terminal would obey."""
    return "".join(sign if sign.isprintable() or sign in kept else "?" for sign in text)


if __name__ == "__main__":
    collect_seldom()
    without_torch()
    tell_warnings(sys.stderr)
    sys.exit(main(sys.argv[1:]))
