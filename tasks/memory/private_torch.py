"""What pricing uses of torch that its documentation does not promise: when an upgrade moves a name, mend it here.

A fake tensor has a shape, a type and a device, and no numbers: a model of 70 billion weights runs forward and back in
seconds, and every tensor that PyTorch would make has its size.
"""

import weakref
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def fake_tensors() -> Any:
    """A context in which every new tensor is a fake one."""
    mode: Any = FakeTensorMode
    return mode()


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that counts the bytes of tensors made in it which are still in use, and the most of them at once."""

    def __init__(self, known: Collection[Any], widths: Collection[int]) -> None:
        """Tensors `known` from before are not counted; `widths`: sizes of the last dimension of logits."""
        start: Any = super().__init__  # torch gives it no types
        start()
        self._sizes: dict[int, tuple[int, int]] = {id(tensor.untyped_storage()): (0, 0) for tensor in known}
        self._known = list(known)
        self._widths = frozenset(widths)
        self.now = self.peak = 0
        """Bytes."""
        self._logits = self.logits = 0
        """Bytes of logits among those of `peak`."""

    def begin_anew(self) -> None:
        """Forget the most so far: `peak` and `logits` are of what comes."""
        self.peak, self.logits = self.now, self._logits

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf)
        return result

    def _add(self, tensor: Any) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)  # torch keeps the object as long as the storage
        if key in self._sizes:
            return
        size = storage.nbytes()
        logits = size if tensor.dim() and tensor.shape[-1] in self._widths else 0
        self._sizes[key] = size, logits
        self.now += size
        self._logits += logits
        if self.now > self.peak:
            self.peak, self.logits = self.now, self._logits
        weakref.finalize(storage, self._drop, key)

    def _drop(self, key: int) -> None:
        size, logits = self._sizes.pop(key)
        self.now -= size
        self._logits -= logits
