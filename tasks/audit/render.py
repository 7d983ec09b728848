"""The report of an audit, for a terminal of a hundred columns."""

import textwrap
from typing import Any

from tasks.audit.reasons import LEFT_BY_CLEAN
from tasks.clean import columns
from tasks.core.numbers import counted

WIDTH = 100


def render(report: dict[str, Any]) -> str:
    """The findings as a table, the lengths, and the verdict."""
    lines = []
    if "dialogues" in report:
        width = max(map(len, report["dialogues"]))
        lines += [f"{name:<{width}}  {', '.join(failed) or 'ok'}" for name, failed in report["dialogues"].items()]
        lines.append("")
    for finding in report["findings"]:
        rows = counted(finding["rows"], "rows") if finding["rows"] else "all rows"
        lines.append(f"{finding['severity']:<8} {finding['check']:<16} {rows}")
        lines += textwrap.wrap(finding["message"], WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
        if finding["examples"]:
            such = ", ".join(finding["examples"])
            lines += textwrap.wrap(f"such as {such}", WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
    lengths = report["lengths"]
    if lengths.get("p50"):
        limit = f"{lengths['max_length']} ({lengths['source']})" if lengths["max_length"] else lengths["source"]
        lines.append(
            f"{counted(report['rows'], 'rows')}; tokens a row: p50 {lengths['p50']}, p90 {lengths['p90']}, "
            f"p99 {lengths['p99']}, max {lengths['max']}; limit {limit}; {lengths['above']} above"
        )
    if "dialogues" in report:
        lines.append(f"Reasoning in a field of its own is written in: {report['reasoning']}.")
    elif "reasoning" in report:
        turns, trained = report["reasoning"]["turns"], report["reasoning"]["trained"]
        lines.append(f"{turns} turns have reasoning; that of {trained} is trained.")
    for line in columns.lines(report["shapes"]):
        lines += textwrap.wrap(line, WIDTH, subsequent_indent=" " * 9)
    by_clean = [finding for finding in report["findings"] if finding["check"] in LEFT_BY_CLEAN]
    if by_clean:
        names = ", ".join(f"{finding['check']} {finding['rows']:,}" for finding in by_clean)
        few = "A run leaves such rows out by itself, up to the share of clean.max_loss"
        lines += textwrap.wrap(f"{few}: {names}.", WIDTH, subsequent_indent=" " * 9)
    if "kept" in report:
        lines.append(f"Rows to train, validate and test on: {report['kept']:,} of {report['rows']:,}, with duplicates.")
    errors = [finding["check"] for finding in report["findings"] if finding["severity"] == "error"]
    verdict = f"{counted(len(errors), 'checks')} {'fails' if len(errors) == 1 else 'fail'}: {', '.join(errors)}"
    lines.append(verdict if errors else "Every check passes.")
    return "\n".join("".join(sign if sign.isprintable() else "?" for sign in line) for line in lines)
