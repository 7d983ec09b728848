"""A look at the first rows of each file, before a run: whether an answer or a switch would go unread."""

from itertools import islice

from tasks.clean.columns import ColumnSurvey
from tasks.clean.content import Unusable
from tasks.clean.files import sources
from tasks.clean.privacy.filter import PrivacyFilter
from tasks.clean.read import records
from tasks.clean.settings import Settings
from tasks.clean.shapes import to_content
from tasks.core.paths import Paths

FILES, ROWS = 20, 200
"""Files that are looked at, and rows of each: some hundredths of a second."""


def check_columns(settings: Settings, paths: Paths) -> None:
    """Raise `InputError` where the first rows have an answer or a switch that is not read.

    Rows that a stage has yet to make, or that are to be downloaded, are not looked at.
    """
    where = paths.root / settings.input
    if settings.hub is not None or not where.exists() or where.resolve().is_relative_to(paths.generated.resolve()):
        return
    shown, keys = PrivacyFilter(settings.privacy).redact_name, filter(None, (settings.group, settings.stratify))
    survey = ColumnSurvey(settings.columns, keys, lambda name: shown(name) or "")
    for source in sources(where, settings.splits, settings.mix)[:FILES]:
        for record in islice(records(source), ROWS):
            try:
                content = to_content(record.value or {}, settings.shape, settings.alpaca_instruction, settings.columns)
            except (Unusable, RecursionError):
                continue  # the stage counts it and says why
            value = record.value or {}
            survey.add(value, content.shape, survey.missed(value, content), f"{source.name}:{record.line}")
    survey.check(where)
