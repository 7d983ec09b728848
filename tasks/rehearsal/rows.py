"""What the stages clean, template and evaluate would say of the data: the first two are run on the first rows, aside.

    errors, remarks = look({"clean", "template"}, Paths())

Takes some seconds. What the first rows prove is an error; what they only make likely, such as a share of all rows that
would leave, is a remark. Rows that a stage has yet to make, or that are to be downloaded, are not looked at.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from tasks.align.objectives import OBJECTIVES
from tasks.clean.files import Source, sources
from tasks.clean.read import records
from tasks.clean.run import REQUESTED, clean
from tasks.core.errors import InputError, LossError, TemperError
from tasks.core.files import write_json
from tasks.core.json_files import read_object
from tasks.core.numbers import counted, shown
from tasks.core.paths import PATHS, Paths
from tasks.models.skeleton import configured_base
from tasks.rehearsal import held_out
from tasks.rehearsal.sections import section

FILES, ROWS, FEWEST = 20, 1000, 50
"""Files that are looked at, rows of all of them together, about, and of one at least."""

LABELLED = 20_000
"""As `ROWS` for a classifier: that a class has rows in each split is a matter of all rows, and they are short."""


def look(needed: set[str], paths: Paths) -> tuple[list[TemperError], list[str]]:
    """Errors and remarks of the stages clean and template, as far as they are among `needed`."""
    settings = section("clean")
    where = paths.root / settings.input
    made_here = where.resolve().is_relative_to(paths.generated.resolve())
    if "clean" not in needed or settings.hub is not None or not where.exists() or made_here:
        return [], []
    files = sources(where, settings.splits, settings.mix, settings.shape)
    rows = LABELLED if "train" in needed and section("train").classifies else ROWS
    most = max(rows // max(len(files), 1), FEWEST)
    whole = len(files) <= FILES and not any(_has_more(source, most) for source in files)
    what = "all rows" if whole else f"the first {most:,} rows of {counted(min(len(files), FILES), 'files')}"
    with tempfile.TemporaryDirectory(prefix="temper-") as folder:
        aside = Paths(Path(folder))
        own = settings.model_copy(update={"input": str(where.resolve()), **({} if whole else {"max_loss": 1.0})})
        try:
            clean(own, aside, [replace(source, most=most) for source in _mixed(files)[:FILES]])
        except TemperError as error:  # of a part of the rows it may be wrong: none of them may be for the test
            error = type(error)(str(error).replace(str(where.resolve()), settings.input))
            return ([error], []) if whole else ([], [f"{error} (Checked: {what}.)"])
        ledger = read_object(aside.ledger)
        remarks = _losses(ledger, settings.max_loss, what, whole)
        trained = "train" in needed and section("train").enabled
        remarks += held_out.remarks(ledger, trained=trained, whole=whole)
        if (unasked := _unasked(needed, aside)) is not None:
            return ([unasked], remarks) if whole else ([], [*remarks, f"{unasked} (Checked: {what}.)"])
        if {"evaluate", "decide"} <= needed and (whole or _ends(files, "test", most)):
            from tasks.rehearsal import reach

            quantised = bool(section("quantize").schemes)
            reached = reach.sentence(aside, section("evaluate"), section("decide"), quantised=quantised)
            remarks += [reached] if reached else []
        refused, remarked = _of_choices(needed, aside, whole)
        remarks += [f"{remark} (Checked: {what}.)" for remark in remarked]
        if refused:
            return [InputError(f"{error}{'' if whole else f' (Checked: {what}.)'}") for error in refused], remarks
        if "template" not in needed or section("base").rope is not None or (base := configured_base()) is None:
            return [], remarks
        _put_base(base[1], aside)
        return _templated(needed, aside, whole, what, remarks)


def _mixed(files: list[Source]) -> list[Source]:
    """The files, those of each split by turns, so that the first ones have every split among them."""
    turns: Counter[str | None] = Counter()
    ranks = []
    for source in files:
        ranks.append(turns[source.split])
        turns[source.split] += 1
    return [files[index] for index in sorted(range(len(files)), key=lambda index: ranks[index])]


def _has_more(source: Source, most: int) -> bool:
    return next(islice(records(source), most, None), None) is not None


def _ends(files: list[Source], split: str, most: int) -> bool:
    """Whether the files of a split are all looked at, and to their ends; of shares nothing is known."""
    own = [source for source in files if source.split == split]
    return bool(own) and len(files) <= FILES and not any(_has_more(source, most) for source in own)


def _losses(ledger: dict[str, Any], limit: float, what: str, whole: bool) -> list[str]:
    """A remark where rows would leave in clean, with the reasons, and whether clean.max_loss allows as many."""
    lost = Counter({reason: count for reason, count in ledger["left"].items() if reason not in REQUESTED})
    if not lost.total():
        return []
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in lost.most_common())
    allowed = "allows that" if lost.total() <= limit * ledger["in"] else "allows less of all rows"
    verdict = f"clean.max_loss = {shown(limit)} {allowed}"
    of = counted(ledger["in"], "rows") if whole else what
    return [f"clean: {lost.total():,} of {of} would be left out ({reasons}); {verdict}."]


def _of_choices(needed: set[str], aside: Paths, whole: bool) -> tuple[list[TemperError], list[str]]:
    """What metrics with answers to choose from say of the rows."""
    if "evaluate" not in needed:
        return [], []
    settings = section("evaluate")
    if not any(metric.asks == "choice" or metric.classes for metric in settings.metrics):
        return [], []
    from tasks.rehearsal import classes

    return classes.look(settings, aside, whole)


def _unasked(needed: set[str], aside: Paths) -> InputError | None:
    """What evaluate says where there are test rows, and none that its metrics can ask."""
    if "evaluate" not in needed or section("train").embeds or not aside.rows("test").is_file():
        return None
    from tasks.evaluate.prompting import likelihoods_alone
    from tasks.evaluate.questions import rows

    try:
        rows(aside.rows("test"), texts=likelihoods_alone(section("evaluate")))
    except InputError as error:
        return InputError(str(error).replace(f"{aside.root}/", ""))
    return None


def _put_base(folder: Path, aside: Paths) -> None:
    """Record the base as the stage base does, but for the hashes of its files."""
    record: dict[str, Any] = {
        "kind": "folder",
        "location": str(folder.resolve()),
        "revision": None,
        "files": {},
        "sha256": "",
    }
    aside.base.mkdir(parents=True)
    write_json(aside.base / "base.json", record)


def _templated(
    needed: set[str], aside: Paths, whole: bool, what: str, remarks: list[str]
) -> tuple[list[TemperError], list[str]]:
    """What template says of the rows that are to be trained on, beside `remarks` of before."""
    from tasks.template.stage import run as template

    settings = section("template")
    own = settings.model_copy(update={"packing": False, "preview_rows": 0})
    try:
        template(own, aside)
    except LossError as error:
        beginning = "" if whole else f" (Checked: {what}.)"
        if whole or not settings.max_loss:
            return [LossError(f"{error}{beginning}")], remarks
        return [], [*remarks, f"{error}{beginning}"]
    except InputError as error:
        return ([error] if whole else []), remarks
    except TemperError as error:  # of the tokenizer and the template, whatever the rows
        return [error], remarks
    remarks += [
        f"template: {name}: {finding['check']}: {counted(finding['rows'], 'rows')}: {finding['message']}"
        for name, split in read_object(aside.audit)["splits"].items()
        for finding in split["findings"]
    ]
    errors = list(_nothing_to_learn(needed, aside, remarks))
    return (errors, remarks) if whole else ([], [*remarks, *map(str, errors)])


def _nothing_to_learn(needed: set[str], aside: Paths, remarks: list[str]) -> Iterator[TemperError]:
    """What train and align say where no row is of the kind that they learn from; `remarks` of classes are added."""
    from tasks.align import items
    from tasks.training import rows

    train, align = section("train"), section("align")
    if train.enabled and "train" in needed:
        try:
            count = rows.count(rows.load(aside.tokens("train")))
            rows.check(count, count.as_dict(), "train")
            if train.classifies:
                remarks += _check_classes(train, aside)
            if train.embeds:
                _check_texts(train, aside)
        except TemperError as error:
            yield error
    if align.objective != "off" and not OBJECTIVES[align.objective].sampled and "align" in needed:
        try:
            items.check(items.read(aside, "train", align.objective), align.objective, PATHS.templated)
        except TemperError as error:
            yield error


def _check_classes(train: Any, aside: Paths) -> list[str]:
    """A remark where a class has no row in the test.

    Raises what train says of classes, and `InputError` for a row of the test whose class it could not learn.
    """
    from tasks.chat.reasoning import ReasoningReader
    from tasks.evaluate.questions import rows as asked
    from tasks.models.loading import load_tokenizer
    from tasks.statistics.confusion import describe_untested
    from tasks.train.classes import check_known, labelled_rows
    from tasks.train.labels import named
    from tasks.training.rows import load

    tokens, held_out = (load(aside.tokens(split)) for split in ("train", "validation"))
    own, _ = labelled_rows(train, tokens, held_out, load_tokenizer(aside.tokenizer))
    try:
        questions, _ = asked(aside.rows("test"))
    except InputError:  # without a test split, or with none that can be asked: said by who evaluates
        return []
    reader = ReasoningReader()
    answers = [reader.of_message(row["messages"][-1]).answer for row in questions]
    tested = named(answers, "the test", several=train.several)
    check_known(tested, own.classes, "the test")
    return [
        f"train.objective classify: {sentence} Add such rows to the test split."
        for sentence in describe_untested(own.classes, {name for row in tested for name in row})
    ]


def _check_texts(train: Any, aside: Paths) -> None:
    """Raise what train says of texts, and `InputError` for a row of the test that is no question with an answer."""
    from tasks.evaluate.questions import rows as asked
    from tasks.evaluate.ranking import Corpus
    from tasks.train.texts import text_rows
    from tasks.training.rows import load

    text_rows(load(aside.tokens("train")), load(aside.tokens("validation")), train.batch_size)
    try:
        questions, _ = asked(aside.rows("test"))
    except InputError:  # as for classes
        return
    Corpus.of(questions, aside.rows("test"))
