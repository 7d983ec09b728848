"""Provide the base model: trained from scratch on the seed, converted from another form, or recorded by its hash.

    python -m tasks base

In: the folder `base.folder` (a model, or the seed). Out: data/base (`base.json`; `model/` and `pretraining/` where it
was made here). A model that lies in a folder or in the hub's cache as transformers has it is never copied; one of Meta,
torchtune or litgpt (tasks/contract/llama) is written anew, in safetensors.
"""

from tasks.base.settings import Settings
from tasks.core.declaration import Entry, Resources, Stage
from tasks.core.errors import InputError
from tasks.core.paths import PATHS, Paths

__all__ = ["STAGE", "Settings", "run"]


def run(settings: Settings, paths: Paths) -> None:
    """Record or train the base; see the module's docstring."""
    from tasks.base.ready import form, is_model

    if settings.hub:
        from tasks.base.record import record_hub

        record_hub(settings, paths)
    elif foreign := form(paths.root / settings.folder):
        from tasks.base.convert import convert

        convert(settings, paths, foreign)
    elif is_model(paths.root / settings.folder):
        from tasks.base.record import record_folder

        record_folder(settings, paths)
    elif not (paths.root / settings.folder / "assistant.yaml").is_file():
        raise InputError(
            f"base.folder = {settings.folder}: neither a model (config.json, *.safetensors, a tokenizer) "
            "nor a seed (assistant.yaml, slots.yaml, intents.yaml); name another folder."
        )
    else:
        from tasks.base.pretrain import pretrain

        pretrain(settings, paths)


STAGE = Stage(
    name="base",
    about="The base model.",
    settings=Settings,
    run=run,
    entries=(Entry(inputs=("${base.folder}",), outputs=(PATHS.base,)),),
    resources=Resources(gpu=True),
)
