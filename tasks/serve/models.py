"""What can be served, by the name that a client gives as `model`, and how each is to be had where it is missing."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tasks.core.errors import InputError, SettingsError, TemperError
from tasks.core.paths import PATHS, Paths
from tasks.evaluate import candidates
from tasks.evaluate.settings import Settings
from tasks.export.settings import FORMATS
from tasks.models.embedder import is_embedder
from tasks.models.head import classes_in
from tasks.models.loading import gguf_file
from tasks.models.record import base_folder, describe, identity
from tasks.models.weight_files import check_weight_files
from tasks.quantize.schemes import SCHEMES

DEFAULT = "merged"
OLLAMA = "ollama"
"""The export that is one whole model in a GGUF file."""


@dataclass(frozen=True)
class Model:
    """One model as it is served."""

    name: str
    folders: tuple[Path, ...]
    """Where its weights lie, the base first; its tokenizer's folder last."""
    system: str = ""
    """System prompt that stands before the one of a request."""

    @property
    def gguf(self) -> Path | None:
        """The GGUF file, where it is one."""
        return gguf_file(self.folders[0])

    @property
    def base(self) -> Path:
        """The folder of the weights that adapters share."""
        return self.folders[0]

    @property
    def adapter(self) -> Path | None:
        """The adapter's folder, where it is a base with one."""
        return self.folders[1] if len(self.folders) == 3 else None

    @cached_property
    def sha256(self) -> str:
        """One hash of all its weights; reads every file."""
        hashes = {str(number): identity(describe(folder)) for number, folder in enumerate(self.folders[:-1])}
        if self.gguf:
            from tasks.core.files import sha256

            hashes["gguf"] = sha256(self.gguf)
        return identity({name: {"sha256": value} for name, value in hashes.items()})


def models(names: list[str], settings: Settings, paths: Paths) -> list[Model]:
    """The models of those names. Raises `InputError` or `SettingsError` in one sentence for one that is not there.

    models(["merged", "base"], Settings(), Paths())
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"{twice[0]} is named twice; name each candidate once.")
    return [model(name, settings, paths) for name in names or [DEFAULT]]


def model(name: str, settings: Settings, paths: Paths) -> Model:
    """The model `name`; see `models`."""
    if name == "base_few_shot":
        raise SettingsError("base_few_shot is the base with examples in its prompt; serve base, and send the examples.")
    if name in settings.hosted and settings.hosted[name].server:
        url = settings.hosted[name].server.url  # type: ignore[union-attr]
        raise SettingsError(
            f"{name} is already served at {url}; use it there, or compare it: temper serve --check {url} {name}."
        )
    if name in _adapters(paths):
        return Model(name, (base_folder(paths), paths.adapters / name, paths.tokenizer))
    if name in FORMATS:
        return _exported(name, paths)
    if (advice := _remedy(name, paths)) and name not in existing(settings, paths):
        there = existing(settings, paths)
        raise InputError(f"{name} does not exist yet: {advice if there else 'run `temper run`'}; {_there(there)}")
    if name not in existing(settings, paths):
        raise SettingsError(f"there is no candidate '{name}'; {_there(existing(settings, paths))}")
    folders = candidates.folders(name, settings, paths)
    if is_embedder(folders[-1]):
        raise SettingsError(
            f"{name} is an embedding model or its base, which generates no text, so it cannot be served; use it as "
            f"{PATHS.card} shows."
        )
    for folder in folders[:-1]:
        check_weight_files(folder, _restoring(folder, paths))
    if name not in ("base", "base_system") and any(classes_in(folder) for folder in folders[:-1]):
        raise SettingsError(
            f"{name} is a classifier, which generates no text, so it cannot be served; use it as {PATHS.card} shows, "
            "or serve base."
        )
    system = settings.system if name == "base_system" else ""
    return Model(name, tuple(folders), system)


def existing(settings: Settings, paths: Paths) -> list[str]:
    """Names of all that can be served now."""
    names = []
    if (paths.base / "base.json").is_file():
        names += ["base", "base_system"]
    if any((paths.trained / file).is_file() for file in ("adapter_config.json", "config.json")):
        names.append("adapter")
    if (paths.merged / "config.json").is_file():
        names.append(DEFAULT)
    names += sorted(folder.name for folder in paths.quantized("").glob("[!.]*") if folder.is_dir())
    names += [OLLAMA] if gguf_file(paths.exported(OLLAMA)) else []
    names += [*_adapters(paths), *settings.models]
    return names + [name for name, hosted in settings.hosted.items() if hosted.hub]


def _adapters(paths: Paths) -> list[str]:
    """Further adapters of the same base, a folder each."""
    return sorted(file.parent.name for file in paths.adapters.glob("[!.]*/adapter_config.json"))


def _exported(name: str, paths: Paths) -> Model:
    if name != OLLAMA:
        raise SettingsError(f"{name} is an export for another program; serve {DEFAULT}, or an adapter by its name.")
    folder = paths.exported(name)
    if not gguf_file(folder):
        raise InputError(f"{name} does not exist yet: run `temper run --set export.formats=[{name}]`.")
    return Model(name, (folder, paths.tokenizer))


def _remedy(name: str, paths: Paths) -> str:
    """What makes a candidate of temper's own; "" for another name."""
    stage = {"base": "base", "base_system": "base", "adapter": "train", DEFAULT: "merge"}.get(name)
    if stage:
        return f"run `temper run {stage}`"
    if name in SCHEMES:
        schemes = sorted(folder.name for folder in paths.quantized("").glob("[!.]*") if folder.is_dir())
        return f"run `temper run --set quantize.schemes=[{','.join([*schemes, name])}]`"
    return ""


def _restoring(folder: Path, paths: Paths) -> str:
    """What brings back files of `folder`."""
    stages = (paths.merged, paths.fitted, paths.aligned, paths.schemes)
    if not any(folder.is_relative_to(place) for place in stages):
        return "restore it"
    return f"run `dvc checkout --force {folder}`, or `temper run`"


def _there(names: list[str]) -> str:
    return f"available: {', '.join(names)}." if names else "there is no model here yet."


def tokenizer_of(model: Model) -> object:
    """The tokenizer with its chat template. Raises `ModelError` where it has none."""
    try:
        return candidates.chat_tokenizer(model.folders[-1])
    except TemperError as error:
        raise type(error)(f"{model.name}: {error}") from None
