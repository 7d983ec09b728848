"""What a run left, as files: the page, the card and the numbers."""

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.core import numbers
from tasks.core.files import write_json, write_text
from tasks.core.numbers import metric_name
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.decide.words import candidate_name, promotion
from tasks.pages.document import head
from tasks.report import answers, classes, episodes, figures, predictions, render, watched
from tasks.report.about import NO_LIMITS, described
from tasks.report.card import fenced, front_matter
from tasks.report.gather import RunResults, gather
from tasks.report.plain_trl import plain_trainings
from tasks.report.settings import Settings
from tasks.report.teaching import teaching
from tasks.report.tiles import tiles
from tasks.report.usage import usage
from tasks.statistics.effect import amount, effect
from tasks.statistics.p_value import format_p_value

TEMPLATES = Path(__file__).parent / "templates"


def write(settings: Settings, paths: Paths) -> None:
    """Write `data/report`.

    write(Settings(title="Docker assistant"), Paths())
    """
    report = reporter("report", 4, "steps")
    report(0)
    results = gather(paths)
    report(1)
    settings = described(settings, results)
    write_text(paths.page, page(settings, results))
    report(2)
    reading = _render("predictions.html.jinja", results, autoescape=True, **predictions.context(settings, results))
    write_text(paths.predictions, reading)
    report(3)
    write_text(paths.card, card(settings, results))
    report(4)
    write_json(paths.comparison, render.comparison(results))
    print(" ".join(render.summary(results)[1:2]), flush=True)
    if not settings.limits:
        print(f"report: {NO_LIMITS}", flush=True)


def page(settings: Settings, results: RunResults) -> str:
    """The HTML page. Everything from data is escaped, but the preview, which its own stage has escaped."""
    metric = render.metric(results)
    lines = [
        {
            "key": key,
            "name": render.display_name(results, key),
            "kind": render.group(results, key),
            **render.score(results, key),
            "slices": {part: values[metric] for part, values in scores["slices"].get("slice", {}).items()},
            "metrics": scores["metrics"],
            "cut": scores["cut"],
            "empty": scores["empty"],
            "too_long": scores["too_long"],
            "not_asked": scores["not_asked"],
            "no_answer": scores["no_answer"],
            "shots": scores.get("shots"),
            "shown": scores.get("shown", "examples"),
            "prompts": scores.get("prompts", []),
            "engine": scores.get("engine"),
            "drawn": scores.get("drawn"),
            "left_out": scores.get("left_out", {}),
        }
        for key, scores in results.scores.items()
    ]
    names, name = render.slice_names(results), metric_name(metric)
    return _render(
        "report.html.jinja",
        results,
        autoescape=True,
        head=Markup(head(str(settings.title))),
        settings=settings,
        summary=render.summary(results),
        teaching=teaching(results),
        lines=lines,
        slice_names=names,
        metric=metric,
        comparison=figures.intervals(lines, name) if lines[0]["better"] == "higher" else None,
        by_slice=figures.slices(lines, names, metric_name(metric))
        if names and lines[0]["better"] == "higher"
        else None,
        cost=render.cost(results),
        class_sections=classes.sections(results),
        against=render.against(results),
        curves={what: (figures.measured(rows), figures.curve(rows)) for what, rows in results.curves.items()},
        tiles=tiles(results.training),
        pairs=figures.pairs(results.curves.get("alignment", [])),
        rewards=figures.rewards(results.curves.get("alignment", [])),
        answers=figures.answers(results.curves.get("alignment", [])),
        pairs_last=figures.last(results.curves.get("alignment", [])),
        held_out_pairs=_held_out_pairs(results),
        above_start=figures.dpo_above_start(results.curves.get("alignment", []), results.settings.get("align", {})),
        episodes=episodes.sentence(results.episodes),
        episode_rows=episodes.table(results.episodes),
        episode_ends=episodes.ends(results.episodes),
        watched=watched.sections(results.samples),
        preview=Markup(results.preview),
        samples=answers.samples(results, settings.samples),
        lengths=figures.lengths(**results.profile["characters"], unit="characters"),
        tokens=_tokens(results.audit),
        splits=figures.SPLITS,
    )


def _held_out_pairs(results: RunResults) -> str:
    """How many pairs the values of held-out pairs are of, as a part of a sentence; "" where nothing says so."""
    pairs = results.audit.get("splits", {}).get("validation", {}).get("preferences", {}).get("pairs")
    return f"held-out values are of {numbers.counted(pairs, 'pairs')}; " if pairs else ""


def _tokens(audit: dict[str, Any]) -> Markup:
    """Rows by tokens, or nothing where the audit does not tell."""
    histograms = {
        split: values["lengths"]["histogram"]
        for split, values in audit.get("splits", {}).items()
        if values.get("lengths")
    }
    rows = {split: histogram["rows"] for split, histogram in histograms.items()}
    return figures.lengths(next(iter(histograms.values()))["edges"], rows, "tokens") if histograms else Markup("")


def card(settings: Settings, results: RunResults) -> str:
    """The model card: front matter that the hub understands, and Markdown."""
    return _render(
        "model_card.md.jinja",
        results,
        autoescape=False,
        settings=settings,
        summary=render.summary(results),
        teaching=teaching(results),
        slice_names=render.slice_names(results),
        metric=render.metric(results),
        against=render.against(results),
        front_matter=front_matter(settings, results),
        chat_template=fenced(results.chat_template, "jinja") if results.chat_template else None,
        usage=usage(results),
        base=render.base_name(results),
        method=render.method(results),
        plain=[
            (training.stage, fenced(training.code, "python") if training.code else "", training.reasons)
            for training in plain_trainings(
                results.base, results.settings, results.trainings, bool(results.audit.get("packing"))
            )
        ],
    )


def _render(template: str, results: RunResults, *, autoescape: bool, **values: Any) -> str:
    environment = _environment(autoescape, render.is_whole(results))
    return environment.get_template(template).render(results=results, **values)


@cache
def _environment(autoescape: bool, whole: bool) -> Environment:
    """The templates, compiled once a process; `whole`: whether the run tuned the whole model."""
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
        p_value=format_p_value,
        number=numbers.shown,
        counted=numbers.counted,
        drawn=render.drawn,
        effect=effect,
        detectable=_detectable,
        value=_value,
        cell=_cell,
        candidate=partial(candidate_name, whole=whole),
        promotion=promotion,
        metric_name=metric_name,
        size=_size,
    )
    return environment


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
            return f"{numbers.shown(count / 1000**power, 3)} {unit}"
    return f"{count} bytes"


def _detectable(comparison: dict[str, Any]) -> str:
    """The difference that the rows of `comparison` show; a dash where they are too few to show any."""
    return "-" if comparison["detectable"] is None else amount(comparison["detectable"], comparison)
