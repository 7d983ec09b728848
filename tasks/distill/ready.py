"""What the stage would refuse, known before it asks for anything: the budget, the number of tokens, the server."""

import asyncio
import json
import math
import os
from typing import get_args

from tasks.core.errors import InputError, SettingsError
from tasks.core.numbers import counted
from tasks.core.paths import PATHS, Paths
from tasks.distill.price import Price, price
from tasks.distill.rows import question
from tasks.distill.settings import Settings
from tasks.models.skeleton import configured_base
from tasks.teacher.backends import create_backend
from tasks.teacher.errors import FatalError, NotUnderstood, RequestError, TransientError
from tasks.teacher.request import Request, Response
from tasks.teacher.settings import Form, Teacher

PROBE = {"input_ids": [1, 2], "labels": [-100, 2]}
"""A row that any model can be asked about."""

PATIENCE = 10.0
"""Seconds that a server is waited for, whose rows are asked about later."""

LARGER = "lower distill.top, or start the server with more (vLLM: --max-logprobs)"


def check(settings: Settings, paths: Paths) -> None:
    """Raise `SettingsError` or `InputError` for what is known of rows, base and server; what is not there is left out.

    A server that does not answer now may do so later, or need not: what is on record is not asked again.
    """
    for split in settings.splits:
        if paths.tokens(split).is_file():
            check_budget(settings, split, paths)
    _check_top(settings)
    assert settings.teacher is not None  # as the settings say
    variable = settings.teacher.key_name
    if not variable or os.environ.get(variable):
        _check_server(settings.teacher, settings)


def check_budget(settings: Settings, split: str, paths: Paths) -> Price:
    """What the rows of `split` take; raise `SettingsError` where that is more than the budget."""
    assert settings.teacher is not None
    needed = price(settings.teacher, paths.tokens(split), settings.form)
    cost = math.ceil(needed.cost * 1e6) / 1e6
    for name, amount, text, limit in (
        ("max_tokens", needed.tokens, f"{needed.tokens:,} tokens", settings.budget.max_tokens),
        ("max_cost", cost, f"{cost:g}", settings.budget.max_cost),
    ):
        if limit is not None and amount > limit:
            raise SettingsError(
                f"{PATHS.params}: distill.budget.{name} is {limit:g}, and the {needed.rows:,} rows of {split} take "
                f"{text}; nothing was asked. Raise the budget, or use fewer or shorter rows."
            )
    return needed


def _check_top(settings: Settings) -> None:
    if (configured := configured_base()) is None:
        return
    location, folder = configured
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        size = int(config.get("vocab_size") or config["text_config"]["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # said by whoever looks at the base
    check_top(settings.top, size, f"the base {location}")


def check_top(top: int, size: int, where: str) -> None:
    """Raise `SettingsError` where there are no more than `top` tokens at all, `size`, in `where`."""
    if top >= size:
        raise SettingsError(
            f"{PATHS.params}: distill.top is {top}, but {where} has only {size} tokens; set it to {min(20, size - 1)}, "
            "or use align.objective gkd for the probabilities of all tokens."
        )


def _check_server(teacher: Teacher, settings: Settings) -> None:
    """Ask about two tokens; their price is that of a question. Where nothing is told, the other forms are tried."""
    brief = teacher.model_copy(update={"request_timeout": min(PATIENCE, teacher.request_timeout)})
    try:
        asyncio.run(_ask(brief, settings.top, settings.form))
    except NotUnderstood as error:
        raise InputError(f"distill.teacher: {error}; check its base_url.") from None
    except TransientError:
        return
    except (FatalError, RequestError) as error:
        if isinstance(error, FatalError) and error.kind != "input":
            return
        too_many = isinstance(error, RequestError) and _tells(brief, settings.form)
        others = (form for form in get_args(Form) if form != settings.form and _tells(brief, form))
        if not too_many and (other := next(others, None)):
            raise SettingsError(
                f"{PATHS.params}: the teacher returns no likelihoods in the form {settings.form} (distill.form), but "
                f"it does in the form {other}; set distill.form to {other}."
            ) from None
        if isinstance(error, FatalError):
            raise InputError(f"distill.teacher: {error}.") from None
        raise InputError(
            f"distill.teacher: the server refuses {counted(settings.top, 'tokens')} per position ({error}); {LARGER}."
        ) from None


def _tells(teacher: Teacher, form: Form) -> bool:
    """Whether the server tells likelihoods in this form, if it is of one token."""
    try:
        return bool(asyncio.run(_ask(teacher, 1, form)).scores)
    except (FatalError, RequestError):
        return False


async def _ask(teacher: Teacher, top: int, form: Form) -> Response:
    backend = create_backend(teacher)
    try:
        return await backend.ask(Request.of(teacher, str(teacher.model), question(PROBE, top, form)))
    finally:
        await backend.close()
