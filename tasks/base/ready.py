"""Whether a folder is a model, and has what a base needs. Looks at names and one small file, so it is quick."""

from pathlib import Path

from tasks.core.errors import InputError, ModelError
from tasks.core.json_files import read_object
from tasks.models.foreign import read_config
from tasks.models.llama import FORMS
from tasks.models.tokenizer_bounds import check_file

TOKENIZERS = ("tokenizer.json", "tokenizer.model")
PICKLES = ("*.bin", "*.pth", "*.pt")


def is_model(folder: Path) -> bool:
    """Whether the folder holds a model, complete or not, rather than a seed to train one from."""
    names = ("config.json", *TOKENIZERS)
    return any((folder / name).is_file() for name in names) or any(
        file for pattern in ("*.safetensors", *PICKLES) for file in folder.glob(pattern)
    )


def form(folder: Path) -> str | None:
    """Which of `FORMS` the folder has, by the names of its files; None for a model as transformers has it."""
    if any(folder.glob("*.safetensors")):
        return None
    return next((name for name, (weights, _) in FORMS.items() if any(folder.glob(weights))), None)


def check(folder: Path, location: str) -> None:
    """Raise `ModelError` where the folder lacks its sizes (config.json), weights that can be read, or a tokenizer whose
    texts stay within bounds."""
    if foreign := form(folder):
        if not (folder / FORMS[foreign][1]).is_file():
            raise ModelError(
                f"{location}: weights of {foreign} without {FORMS[foreign][1]}, which gives the model's sizes; put it "
                "there."
            )
    elif not (folder / "config.json").is_file():
        raise ModelError(f"{location}: the base has no config.json; put the one that belongs to its weights there.")
    elif not any(folder.glob("*.safetensors")):
        unsafe = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        detail = f"it holds {unsafe[0]}; convert it, since pickled weights can run code" if unsafe else "it holds none"
        raise ModelError(f"{location}: a base needs its weights as *.safetensors; {detail}.")
    else:
        read_config(folder)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise ModelError(
            f"{location}: the base has no tokenizer ({' or '.join(TOKENIZERS)}); put the one it was trained with there."
        )
    check_file(folder)


def has_template(folder: Path) -> bool:
    """Whether the tokenizer in the folder brings a chat template."""
    if (folder / "chat_template.jinja").is_file():
        return True
    try:
        return bool(read_object(folder / "tokenizer_config.json").get("chat_template"))
    except (OSError, InputError):
        return False
