"""Story to files: the page, the card and the numbers."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.core.files import write_json, write_text
from tasks.core.paths import Paths
from tasks.report import figures, predictions, render
from tasks.report.card import fenced, front_matter
from tasks.report.gather import Story, gather
from tasks.report.settings import Settings
from tasks.statistics.p_value import chance

TEMPLATES = Path(__file__).parent / "templates"


def write(settings: Settings, paths: Paths) -> None:
    """Write `data/report`."""
    story = gather(paths)
    write_text(paths.report / "report.html", page(settings, story))
    reading = _render("predictions.html.jinja", autoescape=True, **predictions.context(settings, story))
    write_text(paths.report / "predictions.html", reading)
    write_text(paths.report / "model_card.md", card(settings, story))
    write_json(paths.report / "comparison.json", render.comparison(story))
    print(" ".join(render.summary(story)[1:2]), flush=True)


def page(settings: Settings, story: Story) -> str:
    """The HTML page. Everything from data is escaped, but the preview, which its own stage has escaped."""
    metric = render.metric(story)
    lines = [
        {
            "key": key,
            "name": render.name(key),
            "kind": render.kind(story, key),
            **render.score(story, key),
            "slices": {part: values[metric] for part, values in scores["slices"].get("slice", {}).items()},
            "metrics": scores["metrics"],
            "cut": scores["cut"],
            "empty": scores["empty"],
            "too_long": scores["too_long"],
            "not_asked": scores["not_asked"],
            "no_answer": scores["no_answer"],
            "shots": scores.get("shots"),
        }
        for key, scores in story.scores.items()
    ]
    names = render.slice_names(story)
    return _render(
        "report.html.jinja",
        autoescape=True,
        settings=settings,
        story=story,
        summary=render.summary(story),
        synthetic=render.synthetic(story),
        lines=lines,
        slice_names=names,
        metric=metric,
        comparison=figures.intervals(lines) if lines[0]["better"] == "higher" else None,
        by_slice=figures.slices(lines, names) if names and lines[0]["better"] == "higher" else None,
        against=render.against(story),
        curves={what: (figures.measured(rows), figures.curve(rows)) for what, rows in story.curves.items()},
        preview=Markup(story.preview),
        samples=render.samples(story, settings.samples),
        lengths=figures.lengths(**story.profile["characters"], unit="characters"),
        tokens=_tokens(story.audit),
        splits=figures.SPLITS,
    )


def _tokens(audit: dict[str, Any]) -> Markup:
    """Rows by tokens, or nothing where the audit does not tell."""
    found = {
        split: values["lengths"]["histogram"]
        for split, values in audit.get("splits", {}).items()
        if values.get("lengths")
    }
    rows = {split: histogram["rows"] for split, histogram in found.items()}
    return figures.lengths(next(iter(found.values()))["edges"], rows, "tokens") if found else Markup("")


def card(settings: Settings, story: Story) -> str:
    """The model card: front matter that the hub understands, and Markdown."""
    return _render(
        "model_card.md.jinja",
        autoescape=False,
        settings=settings,
        story=story,
        summary=render.summary(story),
        synthetic=render.synthetic(story),
        slice_names=render.slice_names(story),
        metric=render.metric(story),
        against=render.against(story),
        front_matter=front_matter(settings, story),
        chat_template=fenced(story.chat_template, "jinja") if story.chat_template else None,
        base=render.base_name(story),
        method=render.method(story),
    )


def _render(template: str, *, autoescape: bool, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=render.percent,
        shown=render.shown,
        chance=chance,
        name=render.name,
        number=_number,
        value=_value,
        cell=_cell,
        size=_size,
    )
    return environment.get_template(template).render(**values)


def _number(value: float) -> str:
    """Digits in groups of three; a fraction with 4 significant digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _value(value: Any) -> str:
    """A setting as it would stand in params.yaml."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(value: Any) -> str:
    """Text for a cell of a Markdown table: on one line, without HTML, and without ending the cell."""
    return str(escape(" ".join(str(value).split()))).replace("|", "\\|")


def _size(count: int) -> str:
    """Bytes in the unit that keeps it short."""
    for unit, power in (("GB", 3), ("MB", 2), ("kB", 1)):
        if count >= 1000**power:
            return f"{count / 1000**power:.3g} {unit}"
    return f"{count} bytes"
