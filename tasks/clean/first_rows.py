"""A look at the first rows of each file, before a run: whether there are any, and an answer or a switch goes unread."""

from collections import Counter
from itertools import islice

from tasks.clean.class_cells import BAD_CLASSES
from tasks.clean.classes import unnamed, with_names
from tasks.clean.columns import ColumnSurvey
from tasks.clean.content import Unusable
from tasks.clean.files import sources
from tasks.clean.order import OrderValues
from tasks.clean.privacy.filter import PrivacyFilter
from tasks.clean.read import records
from tasks.clean.record import Record
from tasks.clean.settings import Settings
from tasks.clean.shapes import to_content
from tasks.clean.split import assigned_split
from tasks.clean.tabular import Ambiguous, choice
from tasks.clean.unread import UNKNOWN, unknown
from tasks.core.errors import InputError
from tasks.core.numbers import counted
from tasks.core.paths import Paths

FILES, ROWS = 20, 200
"""Files that are looked at, and rows of each: some hundredths of a second."""


def check_columns(settings: Settings, paths: Paths) -> None:
    """Raise `InputError` where the first rows have an answer or a switch that is not read, or no row can be used.

    Rows that a stage has yet to make, or that are to be downloaded, are not looked at.
    """
    where = paths.root / settings.input
    if settings.hub is not None or not where.exists() or where.resolve().is_relative_to(paths.generated.resolve()):
        return
    settings = with_names(settings, where)
    shown, order = PrivacyFilter(settings.privacy).redact_name, OrderValues()
    survey = ColumnSurvey(settings.columns, settings.row_keys, lambda name: shown(name) or "")
    files = sources(where, settings.splits, settings.mix, settings.shape)
    whole, usable, reasons = len(files) <= FILES, 0, Counter[str]()
    candidates: tuple[str, ...] = ()
    keys: list[str] = []
    for source in files[:FILES]:
        rows = records(source)
        for record in islice(rows, ROWS):
            try:
                content = to_content(record.value or {}, settings.shape, settings.alpaca_instruction, settings.columns)
            except (Unusable, RecursionError) as error:  # the stage counts it and says why
                if isinstance(error, Ambiguous) and not candidates:
                    candidates = error.candidates
                if isinstance(error, Unusable) and error.reason in UNKNOWN and not keys:
                    keys = [shown(key) or "" for key in record.value or {}]
                reasons[str(error) if isinstance(error, Unusable) and record.value is not None else "unreadable"] += 1
                continue
            usable += 1
            value = record.value or {}
            of_train, place = _of_train(record), f"{source.name}:{record.line}"
            if settings.interleave and source.part < 0 and of_train:
                raise InputError(
                    f"clean.interleave: {source.name} belongs to no part of clean.mix, so the probability of its rows "
                    "is unknown; add a part with a probability for it, or move it out of clean.input."
                )
            if settings.order_key and of_train:
                order.add(value.get(settings.order_key), place)
            survey.add(value, content.shape, survey.missed(value, content), place)
        whole = whole and next(rows, None) is None
    survey.check(where)
    if settings.order_key:
        order.check(settings.order_key, where)
    some = counted(reasons.total(), "rows")
    of = some if whole else f"the first {some} of {counted(min(len(files), FILES), 'files')}"
    if not usable and candidates:
        raise InputError(f"{where}: {choice([shown(one) or '' for one in candidates])}")
    if not usable and reasons["unnamed_class"]:
        raise InputError(f"{where}: {unnamed(where)}")
    if not usable and reasons["bad_classes"]:
        raise InputError(f"{where}: none of {of} can be used. {BAD_CLASSES}")
    if not usable and (whole or (reasons and UNKNOWN.issuperset(reasons))):
        counts = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        state = f"none of {of} can be used ({counts})" if reasons else "the data has no rows"
        if reasons and UNKNOWN.issuperset(reasons):
            raise InputError(f"{where}: {state}: {unknown(keys, settings.columns)}")
        raise InputError(f"{where}: {state}; set clean.input to data with rows that can be trained on.")


def _of_train(record: Record) -> bool:
    try:
        return assigned_split(record.source.split, record.value or {}) in (None, "train")
    except ValueError:  # the stage says so
        return False
