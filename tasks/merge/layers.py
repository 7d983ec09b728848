"""A model whose weights stay on disk, and an adapter on it that is merged one layer at a time, by peft itself.

The model is built in its full shape, but each weight is one zero, seen as a whole tensor (stride 0): it takes no
memory, and peft puts the adapter on it as on any model. A layer's own weights are read when it is merged or run, and
let go afterwards. peft computes what is merged, so the bytes are those of its `merge_and_unload`.
"""

import gc
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from tasks.core.errors import CheckFailed, ModelError
from tasks.core.paths import PATHS
from tasks.merge.modules import bare, blocks, fitting, merge_layer, merge_parameter, merges, tuned_parameters
from tasks.merge.source import Source
from tasks.models.classes import auto_class
from tasks.models.conversion import Group, Layout
from tasks.models.foreign import CONFIG, check_sizes, foreign
from tasks.models.shards import StoredTensor


class OffloadedModel:
    """The model of `source` in its full shape, all weights absent; `vocabulary` rows of embeddings where given."""

    def __init__(self, source: Source, vocabulary: int | None = None) -> None:
        from accelerate import init_empty_weights
        from transformers import AutoConfig

        check_sizes(source.folder, source.tensors)
        with foreign(source.folder / CONFIG, "restore the files of the model"):
            config: Any = AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
            self.stored_vocabulary: int = config.get_text_config().vocab_size
            config.__dict__.pop("quantization_config", None)
            if vocabulary is not None:
                config.get_text_config().vocab_size = vocabulary
            with init_empty_weights(include_buffers=False):  # buffers, such as rotary frequencies, are computed
                self.model: Any = auto_class(config).from_config(config, dtype=torch.float32)
            self.config: Any = self.model.config
            _empty(self.model)
            self.model.tie_weights()
        self.names: dict[int, str] = {id(weight): name for name, weight in self.model.named_parameters()}
        self.weights = dict(self.model.named_parameters())  # keeps them alive, so that no id is used twice
        self.shapes = {name: tuple(weight.shape) for name, weight in self.weights.items()}
        self.source = source
        stored = set(self.model.state_dict())
        self.buffers: dict[str, torch.Tensor] = {
            name: buffer for name, buffer in self.model.named_buffers() if name in stored
        }
        """What the model keeps in its files beside weights, such as Gemma 4's `layer_scalar`; here as it is stored."""
        self.layout = Layout(self.model, source.tensors)
        for name in self.buffers.keys() & self.layout.by_weight.keys():
            stored_buffer = self.layout.by_weight[name].read()[name].reshape(self.buffers[name].shape)
            wide = torch.float32 if stored_buffer.is_floating_point() else stored_buffer.dtype
            self.buffers[name].data = stored_buffer.to(wide)  # as from_pretrained, whatever type its class starts with
        self.paths = {
            f"{path}.{leaf}".lstrip("."): self.names[id(weight)]
            for path, module in self.model.named_modules()
            for leaf, weight in module._parameters.items()
            if weight is not None
        }
        """For each weight as a module has it, the name of its own in `shapes`; tied ones share a name."""
        self.embeddings: Any = self.model.get_input_embeddings()
        self.locks: defaultdict[str, Lock] = defaultdict(Lock)
        """By the name of a layer's weight: two of its tensors, or those tied to it, are not merged at once."""
        self.tuned: Any = None

    def group(self, name: str) -> tuple[Group, str] | None:
        """The tensors of the base that become the weight `name`, and what it is called there: it, or one tied to it."""
        for path in (name, *(path for path, of in self.paths.items() if of == name)):
            if path in self.layout.by_weight:
                return self.layout.by_weight[path], path
        return None

    def stored(self, name: str) -> StoredTensor | None:
        """The tensor of the base that is the weight `name` as it lies in the file; None where it is made of others."""
        group = self.group(name)
        return group[0].plain if group else None

    def attach(self, folder: Path, held: set[str], name: str = "default") -> None:
        """Put the adapter in `folder`, whose file holds the tensors `held`, on the model.

        Raises `ModelError` where it does not fit, whole or in part.
        """
        from peft import PeftModel

        # warnings are of what is checked below, as an error
        with fitting(folder), warnings.catch_warnings(action="ignore"), _uncollected():
            if self.tuned is None:
                self.tuned = PeftModel.from_pretrained(
                    self.model, folder, adapter_name=name, low_cpu_mem_usage=True, torch_device="cpu"
                )
            else:
                self.tuned.load_adapter(folder, name, low_cpu_mem_usage=True, torch_device="cpu")
        check_names(folder, self, name, held)
        self._tie_again()

    def tuned_paths(self) -> set[str]:
        """Weights, by their path in the model without adapter, that merging changes."""
        if self.tuned is None:
            return set()
        wrapped = {path: module for path, module in self.model.named_modules() if merges(module)}
        paths = set()
        for path, module in self.model.named_modules():
            outer = next((above for above in wrapped if path == above or path.startswith(f"{above}.")), None)
            if outer is None:
                paths |= {
                    f"{path}.{leaf}".lstrip(".")
                    for leaf, weight in module._parameters.items()
                    if weight is not None and id(weight) not in self.names
                }
        for path, module in wrapped.items():
            leaves = tuned_parameters(module) or {
                leaf for leaf, _ in bare(module).named_parameters() if "." not in leaf
            }
            paths |= {f"{path}.{leaf}" for leaf in leaves}
        return paths

    def merged(self, path: str) -> torch.Tensor:
        """The weight at `path` (of a module without adapter) after merging, in float32 (or the adapter's own type)."""
        module_path, _, leaf = path.rpartition(".")
        module = self.model.get_submodule(module_path)
        if self.tuned is None or not merges(module):
            plain: torch.Tensor = module._parameters[leaf]
            return self._value(plain) if id(plain) in self.names else plain.detach()
        if leaves := tuned_parameters(module):
            weight = bare(module)._parameters[leaf]
            return self._merged_parameter(module, path, weight) if leaf in leaves else self._value(weight)
        with self.locks[self.paths.get(f"{module_path}.weight", module_path)], torch.no_grad(), self.present(module):
            brought = {weight: weight.data for weight in bare(module).parameters() if id(weight) not in self.names}
            for weight, own in brought.items():  # merging adds to them in place
                weight.data = own.clone()
            new = merge_layer(module, path)
            value: torch.Tensor = dict(new.named_parameters())[leaf].detach()
            for inner in module.modules():
                if hasattr(inner, "merged_adapters"):
                    inner.merged_adapters.clear()
            for weight, own in brought.items():
                weight.data = own
        return _finite(path, value)

    def _merged_parameter(self, module: Any, path: str, weight: torch.Tensor) -> torch.Tensor:
        """The parameter `weight`, to which an adapter was put and not to its layer, after merging."""
        with self.locks[path.rpartition(".")[0]], torch.no_grad():
            weight.data = self._value(weight)
            try:
                merge_parameter(module, path)
                return _finite(path, weight.data)
            finally:
                self._let_go(weight)

    @contextmanager
    def present(self, module: Any) -> Iterator[None]:
        """Read the weights that `module` and what is below it lack; let them go afterwards."""
        self._load(module)
        try:
            yield
        finally:
            self._release(module)

    def runnable(self, keep: bool) -> None:
        """From now on a forward pass reads each block of layers when it comes to it, and lets it go unless `keep`."""
        for module in blocks(self.model):
            module.register_forward_pre_hook(lambda inner, *_: self._load(inner))
            if not keep:
                module.register_forward_hook(lambda inner, *_: self._release(inner))

    def _load(self, module: Any) -> None:
        for weight in module.parameters():
            if id(weight) in self.names and _absent(weight):
                weight.data = self._value(weight)

    def _release(self, module: Any) -> None:
        for weight in module.parameters():
            if id(weight) in self.names:
                self._let_go(weight)

    def _let_go(self, weight: torch.Tensor) -> None:
        weight.data = torch.zeros(()).expand(self.shapes[self.names[id(weight)]])

    def _value(self, weight: torch.Tensor) -> torch.Tensor:
        """What is stored, in float32; rows of new tokens, which the base lacks, are zero."""
        name = self.names[id(weight)]
        stored = self.group(name)
        if stored is None:
            raise ModelError(f"{self.source.folder}: the tensor {name} is missing; restore the files of the model.")
        group, path = stored
        value = self.source.passed(name, group.read()[path].float())
        shape = self.shapes[name]
        if value.shape[1:] == shape[1:] and len(value) < shape[0] and value.shape[0] == self.stored_vocabulary:
            value = torch.cat([value, value.new_zeros(shape[0] - len(value), *shape[1:])])
        if tuple(value.shape) != shape:
            raise ModelError(
                f"{self.source.folder}: the tensor {name} has the shape {tuple(value.shape)}, but config.json says "
                f"{shape}; restore the files of the model."
            )
        return value

    def _tie_again(self) -> None:
        """An adapter that brings its own embeddings replaces them; what was tied to them follows, as in peft."""
        inner, outer = self.model.get_input_embeddings(), self.model.get_output_embeddings()
        if not self.config.get_text_config().tie_word_embeddings or merges(inner) or merges(outer):
            return
        brought = [layer.weight for layer in (inner, outer) if id(layer.weight) not in self.names]
        if brought:
            inner.weight = outer.weight = brought[0]


def check_names(folder: Path, offloaded: OffloadedModel, name: str, held: set[str]) -> None:
    """Raise `ModelError` unless each tensor of the adapter's file (`held`) found its place, and each place its tensor.

    peft warns, and goes on with an adapter whose missing parts are as they were before training.
    """
    from peft import get_peft_model_state_dict

    wanted = set(get_peft_model_state_dict(offloaded.tuned, adapter_name=name, save_embedding_layers=False))
    paths = {f"base_model.model.{path}" for path, module in offloaded.model.named_modules() if merges(module)}
    paths |= {f"base_model.model.{path}" for path in offloaded.shapes}
    absent = sorted(wanted - held)
    surplus = sorted(
        tensor for tensor in held - wanted if not any(tensor == path or tensor.startswith(f"{path}.") for path in paths)
    )
    if absent or surplus:
        parts = [
            f"{len(names)} of its tensors {what}, such as {names[0]}"
            for names, what in ((absent, "are missing"), (surplus, "do not exist in the base"))
            if names
        ]
        raise ModelError(
            f"{folder}: the adapter does not fit the base in {PATHS.base}: {' and '.join(parts)}; restore the files of "
            "both, or train again."
        )


def _finite(path: str, value: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(value.sum()):  # one pass, and nothing of the tensor's size beside it
        raise CheckFailed(
            f"{path}: merging gives NaN or infinite values, so the base or the adapter is damaged there; restore both, "
            "or train again."
        )
    return value


def _empty(model: Any) -> None:
    for module in model.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None:
                module._parameters[name] = torch.nn.Parameter(torch.zeros(()).expand(weight.shape), requires_grad=False)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: with all that the libraries hold, half the time would go there."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _absent(weight: torch.Tensor) -> bool:
    return not any(weight.stride())  # a weight without dimensions is read each time
