"""A Llama in .pth or .pt files: opened without running what is in them, joined where there are several."""

import json
import pickle
from pathlib import Path
from typing import Any

import torch

from tasks.core.errors import ModelError
from tasks.core.numbers import counted
from tasks.models.llama import FORMS
from tasks.models.llama.names import IGNORED, Config, foreign, groups, inward, names, shape
from tasks.models.llama.sizes import from_model_config, from_params

EMBEDDINGS, HEAD, GATE = "model.embed_tokens.weight", "lm_head.weight", "model.layers.0.mlp.gate_proj.weight"


class Pickled:
    """The model in `folder`, given in `form`; its tensors stay on disk until they are read.

    `location` is what the user calls the folder. Raises `ModelError` where sizes are missing or the tensors are others
    than they ask for.
    """

    def __init__(self, folder: Path, form: str, location: str) -> None:
        self.form, self.location = form, location
        pattern, sizes = FORMS[form]
        files = sorted(folder.glob(pattern))
        if form != "meta" and len(files) > 1:
            raise ModelError(f"{location}: {len(files)} files match {pattern}; keep only the model's.")
        self.parts = [_load(file, f"{location}/{file.name}") for file in files]
        rows = self._rows(HEAD), self._rows(GATE)
        self.config = _sizes(folder / sizes, f"{location}/{sizes}", *rows)
        self.groups = groups(form, self.config)
        self.wanted = {
            theirs: (sum(shape(name, self.config)[0] for name in ours), *shape(ours[0], self.config)[1:])
            for theirs, ours in self.groups.items()
        }
        self._check()
        embeddings = foreign(EMBEDDINGS, form)
        self.dtype: torch.dtype = self.parts[0][embeddings].dtype
        self.config["tie_word_embeddings"] = torch.equal(self._joined(embeddings), self._joined(foreign(HEAD, form)))
        self.names = [name for name in names(self.config) if name != HEAD or not self.config["tie_word_embeddings"]]
        """What transformers stores: embeddings that are the head as well, once."""

    def read(self, name: str) -> torch.Tensor:
        """A tensor by its name in transformers."""
        theirs = foreign(name, self.form)
        return inward(self.form, self.config, name, self.groups[theirs], lambda: self._joined(theirs))

    def _rows(self, name: str) -> int:
        """Rows of a matrix that Meta splits by rows where there are several files."""
        theirs = foreign(name, self.form)
        if any(theirs not in part for part in self.parts):
            raise ModelError(
                f"{self.location}: the weights lack {theirs}, which a Llama of {self.form} has; complete them."
            )
        return sum(len(part[theirs]) for part in self.parts)

    def _check(self) -> None:
        held = {name for part in self.parts for name in part} - set(IGNORED)
        if absent := [name for name in self.wanted if any(name not in part for part in self.parts)]:
            raise ModelError(
                f"{self.location}: the weights lack {counted(len(absent), 'tensors')}, such as {absent[0]}; complete "
                "them."
            )
        if surplus := sorted(held - set(self.wanted)):
            raise ModelError(
                f"{self.location}: the weights hold {counted(len(surplus), 'tensors')} that a Llama without biases "
                f"lacks, such as {surplus[0]}; from these files temper reads no other model."
            )
        for name, expected in self.wanted.items():
            if _axis([tuple(part[name].shape) for part in self.parts], expected) is None:
                raise ModelError(
                    f"{self.location}: {name} is {tuple(self.parts[0][name].shape)} in {len(self.parts)} files, but "
                    f"the sizes require {expected}; restore the files."
                )

    def _joined(self, theirs: str) -> torch.Tensor:
        pieces: list[torch.Tensor] = [part[theirs] for part in self.parts]
        axis = _axis([tuple(piece.shape) for piece in pieces], self.wanted[theirs])
        return torch.cat(pieces, axis) if axis is not None and axis >= 0 else pieces[0]


def _axis(shapes: list[tuple[int, ...]], whole: tuple[int, ...]) -> int | None:
    """Along which axis pieces are joined to the `whole`; -1 where each is all of it, None where they do not fit."""
    if all(each == whole for each in shapes):
        return -1
    for axis in range(len(whole)):
        beside = {each[:axis] + each[axis + 1 :] for each in shapes}
        if beside == {whole[:axis] + whole[axis + 1 :]} and sum(each[axis] for each in shapes) == whole[axis]:
            return axis
    return None


def _load(file: Path, where: str) -> dict[str, torch.Tensor]:
    """The tensors by name, seen in the file and not yet read; litgpt puts them one level down while it trains."""
    try:
        contents: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"{where}: holds more than tensors, and loading that could run code; save only the tensors."
        ) from None
    except (RuntimeError, ValueError, EOFError, OSError) as error:
        raise ModelError(f"{where}: cannot be read ({' '.join(str(error).split())[:200]}); restore it.") from None
    tensors: dict[str, torch.Tensor] = contents.get("model", contents) if isinstance(contents, dict) else {}
    if not isinstance(tensors, dict) or not tensors or not all(map(torch.is_tensor, tensors.values())):
        raise ModelError(f"{where}: not a mapping of names to tensors; provide only the model's weights.")
    return tensors


def _sizes(file: Path, where: str, vocabulary: int, inner: int) -> Config:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            return from_params(json.loads(text), vocabulary, inner)
        return from_model_config(YAML(typ="safe").load(text), vocabulary, inner)
    except FileNotFoundError:
        raise ModelError(f"{where}: no such file, but it gives the model's sizes; put it there.") from None
    except KeyError as error:
        raise ModelError(f"{where}: {error} is missing, which a Llama needs; complete the file.") from None
    except (YAMLError, ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ModelError(
            f"{where}: not the sizes of a Llama ({' '.join(str(error).split())[:200]}); correct the file."
        ) from None
