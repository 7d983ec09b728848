"""What must be in place before a run, said all at once: `temper check`; `temper run` asks the quick part first."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flows.plan import machine, own_packages
from tasks.core.errors import InputError, MachineError, SettingsError, TemperError
from tasks.core.files import fingerprint, write_text
from tasks.core.paths import PATHS, Paths

if TYPE_CHECKING:
    from flows.params.model import Params

_remarks: list[str] = []
"""What stages remarked when they were asked last, and inputs that were edited since they were added."""


def quick() -> None:
    """Raise `MachineError` with the faults that can be found in an instant."""
    if problems := [
        fault
        for check in (machine.python, _pipeline, _params, _late_refusals, _starts, _gguf, _engine, machine.dvc_cache)
        for fault in _faults_of(check)
    ]:
        raise MachineError("\n".join(problems))


def check_stage_settings(
    folder: Path, wanted: Sequence[str] = (), tell: Callable[[str], None] = lambda line: None
) -> None:
    """Raise `MachineError` with what stages would refuse of their settings, of the base and of the first rows.

    `wanted`: stages that are to run, with those that they need; by default all. Settings that passed with a base are
    not asked again: they are on record in `folder`, a project's. `tell`: told before seconds of silence.
    """
    from tasks.core.settings import PARAMS
    from tasks.models.skeleton import configured_base
    from tasks.stages import needed

    files, base = [str(PARAMS), str(machine.LOCK)], configured_base()
    if base is not None:
        files += [str(base[1] / name) for name in ("config.json", "tokenizer_config.json", "chat_template.jinja")]
    texts = [Path(name).read_text(encoding="utf-8") if Path(name).is_file() else "" for name in files]
    record, whole, state = Paths(folder).accepted, fingerprint(texts), fingerprint([*texts, sorted(needed(wanted))])
    if record.is_file() and record.read_text() in (whole, state):
        return
    tell("Checking settings, base and first rows, which takes some seconds; then the stages start.")
    checks: list[Callable[[], Iterator[str]]] = [partial(_refused, wanted)]
    if "template" in needed(wanted):
        checks.append(_template)
    if problems := [fault for check in checks for fault in _faults_of(check)]:
        raise MachineError("\n".join(problems))
    write_text(record, state if wanted else whole)


def inputs() -> None:
    """Raise `MachineError` where a stage reads what is not there and no stage makes."""
    if problems := _faults_of(_data):
        raise MachineError("\n".join(problems))


def faults() -> list[str]:
    """Every fault, each a sentence that says what to do."""
    try:
        project()
    except TemperError as error:
        return [*_faults_of(machine.python), str(error)]
    checks = (
        machine.python, machine.versions, _pipeline, _params, _late_refusals, _starts, _refused, _base, _gguf, _engine,
        machine.free_disk, machine.free_memory, machine.dvc_cache, _sharing, _data, _edited,
    )  # fmt: skip
    return [fault for check in checks for fault in _faults_of(check)]


def notes() -> list[str]:
    """What need not be mended for a run: keys of params.yaml that an older version had, each with its new name; what
    `faults` saw in the first rows, and of inputs that changed; and a card without limits."""
    from flows.params.model import model
    from tasks.core.settings import PARAMS, load, outdated
    from tasks.report.about import NO_LIMITS, lacks_limits

    try:
        lines = [*outdated(model(), Path(PARAMS)), *_remarks]
        return [*lines, NO_LIMITS] if lacks_limits(load(model(), Path(PARAMS))) else lines
    except SettingsError:
        return []


def project() -> None:
    """Raise `MachineError` unless the current folder is a project: dvc.yaml, params.yaml, git and DVC."""
    missing = [name for name in map(str, (PATHS.pipeline, PATHS.params)) if not Path(name).is_file()]
    if missing:
        raise MachineError(f"no {' and no '.join(missing)} here ({Path.cwd()}); go to the project's folder.")
    own_packages.check(Path())
    if shutil.which("git") is None:
        raise MachineError("git is not installed; install it (Debian: apt install git), then run again.")
    if not any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents)):
        raise MachineError("this folder is no git repository; run: git init && dvc init")
    if not PATHS.state.parent.is_dir():
        raise MachineError("DVC is not set up here; run: dvc init")


def _faults_of(check: Callable[[], Iterator[str]]) -> list[str]:
    faults = []
    try:
        for fault in check():
            faults.append(fault)  # one by one: what came before an error is kept
    except TemperError as error:
        faults += str(error).splitlines()
    return faults


def _params() -> Iterator[str]:
    from flows.params.model import check

    check()
    yield from ()


def _read() -> "Params | None":
    """params.yaml, or nothing where it has faults: `_params` says them."""
    from flows.params.model import model
    from tasks.core.settings import PARAMS, load

    try:
        return load(model(), Path(PARAMS))
    except SettingsError:
        return None


def _late_refusals() -> Iterator[str]:
    """What late stages would refuse, after everything before them had run."""
    from tasks.evaluate.settings import BASES
    from tasks.named.choices import hint
    from tasks.template.tokenizer import check_tracked, template_text
    from tasks.train.beside import refusals
    from tasks.training.settings import check_row_sharing

    if (params := _read()) is None:
        return
    if params.template.chat_template is not None:
        try:
            template_text(params.template.chat_template)
            check_tracked(params.template.chat_template, Paths().templates)
        except InputError as error:
            yield str(error)
    tuned = ("adapter", "merged", *params.quantize.schemes, *params.evaluate.models, *params.evaluate.hosted)
    if params.decide.candidate not in tuned:
        known = ", ".join(tuned)
        yield f"decide.candidate = {params.decide.candidate!r}: there is no such candidate; known: {known}."
    for name in params.evaluate.benchmarked:
        if name not in (*tuned, *BASES, "trained"):
            known = ", ".join((*BASES, *tuned))
            yield f"evaluate.benchmarked: there is no candidate {name!r}; known: {known}."
    asked = (*params.evaluate.benchmarked, *params.judge.candidates, params.judge.against)
    if "trained" in asked and not _aligned_after_training(params):
        yield (
            "the candidate trained exists only if both train and align are on; remove it from evaluate.benchmarked, "
            "judge.candidates and judge.against, or set align.objective."
        )
    metrics = [name for metric in params.evaluate.metrics for name in metric.scores]
    decisive = params.decide.metric
    if decisive is not None and decisive not in metrics:
        yield f"decide.metric = {decisive!r}: not in evaluate.metrics; {hint(decisive, metrics)}"
    yield from refusals(params)
    if params.train.enabled:
        try:
            check_row_sharing("train", params.train, params.template.packing)
        except SettingsError as error:
            yield str(error)
        if params.train.order == "key" and params.clean.order_key is None:
            yield ("train.order key needs clean.order_key, which is null; set it, or train.order to shuffled.")


def _aligned_after_training(params: "Params") -> bool:
    return params.train.enabled and params.align.objective not in ("off", "reward")


def _starts() -> Iterator[str]:
    """Whether what is aligned can start from what is trained, and learn from what a teacher is asked."""
    from tasks.align.starts import check, check_distilled

    if (params := _read()) is not None:
        check(params.align, params.train)
        check_distilled(params.align, params.distill.splits)
    yield from ()


def _refused(wanted: Sequence[str] = ()) -> Iterator[str]:
    """What stages themselves say of their settings, in a process of its own: some need libraries of models for it."""
    from flows.system.process import ask

    if _read() is None:
        return
    answer = ask("tasks.validate", *wanted)
    _remarks[:] = filter(None, answer.lines)
    for error in answer.errors:
        yield from str(error).splitlines()


def _base() -> Iterator[str]:
    from tasks.base.ready import check, is_model
    from tasks.models.record import check_hub

    if (params := _read()) is None:
        return
    folder = Path(params.base.folder)
    if params.base.hub:
        check_hub(*params.base.hub.split("@"))
    elif is_model(folder):
        check(folder, params.base.folder)
        yield from _template(params)


def _template(params: "Params | None" = None) -> Iterator[str]:
    """A folder as the base whose chat template nobody chose: the stage would take plain, whatever the base knows."""
    from tasks.base.ready import has_template, is_model

    params = params or _read()
    if params is None or params.base.hub or not is_model(folder := Path(params.base.folder)):
        return
    if not has_template(folder) and params.template.chat_template is None and params.template.embed is None:
        yield f"{folder}: the base has no chat template; set template.chat_template, for example to plain."


def _gguf() -> Iterator[str]:
    from flows.plan.gguf import faults

    if (params := _read()) is not None:
        yield from faults(params)


def _engine() -> Iterator[str]:
    from tasks.engine.ready import faults

    if (params := _read()) is not None:
        yield from faults(params.machine)


def _sharing() -> Iterator[str]:
    from tasks.core.settings import read

    policies = (read(PATHS.policies, "safe") if PATHS.policies.is_file() else None) or {}
    if policies.get("share") or policies.get("queues"):
        from flows.run.policies import operation  # brings Prefect, which a check does without where it can
        from flows.worktree.remotes import check

        if share := operation().share:
            check(share)
    yield from ()


def _pipeline() -> Iterator[str]:
    from flows.bridge import unclosed

    yield from _readable(PATHS.pipeline)
    yield from unclosed()


def _readable(path: Path = PATHS.params) -> Iterator[str]:
    """Within bounds that DVC's own reader does not have."""
    from tasks.core.settings import read

    read(path, "safe")
    yield from ()


def _data() -> Iterator[str]:
    from flows.bridge import check_tracked_params, missing
    from flows.plan.unpulled import refusals

    if _faults_of(_pipeline) or _faults_of(_readable):
        return
    try:
        lacking = missing()
    except (AssertionError, AttributeError, TypeError, ValueError):  # of DVC, where a value cannot be a path
        if _read() is None:
            return
        raise
    yield from (kept := refusals(path for _, path in lacking)).values()
    refused = _read() is None  # then the items of lists may be the fault, and what each of them needs with it
    for stage, path in lacking:
        if path in kept or (refused and "@" in stage):
            continue
        yield f"{path} is missing: the stage {stage} reads it, and no stage makes it; add it, or name another."
    check_tracked_params()


def _edited() -> Iterator[str]:
    """No fault: a run stores what was edited. It is remarked."""
    from flows.bridge import edited_inputs

    if not (_faults_of(_pipeline) or _faults_of(_readable) or _read() is None):
        with suppress(TemperError):  # `_data` says it
            _remarks.extend(edited_inputs())
    yield from ()
