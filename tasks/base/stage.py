"""Provide the base model: trained from scratch on the seed or on texts, converted, or recorded by its hash.

    python -m tasks base

In: the folder `base.folder` (a model, or the seed), or `base.text` in data/texts. Out: data/base (`base.json`; `model/`
and `pretraining/` where it was made here). A model that lies in a folder or in the hub's cache as transformers has it
is never copied; one of Meta, torchtune or litgpt (tasks/models/llama) is written anew, in safetensors; with `rope`
data/base holds a copy.
"""

from tasks.base.settings import Settings
from tasks.core.declaration import Entry, Resources, Stage
from tasks.core.errors import InputError, SettingsError
from tasks.core.paths import PATHS, Paths

__all__ = ["STAGE", "Settings", "run", "validate"]


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings, the texts and the base's configuration."""
    if settings.text is not None:
        from tasks.base.pretrain import check_texts

        check_texts(settings, paths)
        return
    if settings.rope is None:
        return
    from tasks.base.ready import form, is_model
    from tasks.models.skeleton import configured_base

    folder = paths.root / settings.folder
    if not settings.hub and not form(folder) and not is_model(folder) and (folder / "assistant.yaml").is_file():
        raise SettingsError(
            f"{PATHS.params}: base.rope has no effect on a base that is trained from a seed; set it to null, and "
            "base.architecture.context to the length that you want."
        )
    if (configured := configured_base()) is not None:
        from tasks.base.rope import stretched

        stretched(settings.rope, configured[1])


def run(settings: Settings, paths: Paths) -> None:
    """Record or train the base; see the module's docstring."""
    from tasks.base.ready import form, is_model

    if settings.rope:
        validate(settings, paths)
    if settings.text:
        from tasks.base.pretrain import pretrain_on_texts

        pretrain_on_texts(settings, paths)
    elif settings.hub:
        from tasks.base.record import record_hub

        record_hub(settings, paths)
    elif foreign := form(paths.root / settings.folder):
        from tasks.base.convert import convert

        convert(settings, paths, foreign)
    elif is_model(paths.root / settings.folder):
        from tasks.base.record import record_folder

        record_folder(settings, paths)
    elif not (paths.root / settings.folder).exists():
        raise InputError(
            f"base.folder = {settings.folder}: there is no such folder; put the model there, or name another."
        )
    elif not (paths.root / settings.folder / "assistant.yaml").is_file():
        raise InputError(
            f"base.folder = {settings.folder}: neither a model (config.json, *.safetensors, a tokenizer) "
            "nor a seed (assistant.yaml, slots.yaml, intents.yaml); name another folder."
        )
    else:
        from tasks.base.pretrain import pretrain

        pretrain(settings, paths)
    if settings.rope:
        from tasks.base.rope import stretch

        stretch(settings.rope, paths)


STAGE = Stage(
    name="base",
    about="The base model.",
    settings=Settings,
    run=run,
    validate=validate,
    entries=(Entry(inputs=("${base.folder}", PATHS.texts), outputs=(PATHS.base,)),),
    resources=Resources(gpu=True),
)
