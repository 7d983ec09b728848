"""Several optimisers as one that can be saved, and one that steps weights held in bfloat16."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Parts(torch.optim.Optimizer):
    """Optimisers that step together, each its own weights."""

    def __init__(self, parts: list[Any], lr: float) -> None:
        """`parts`: the optimisers; `lr`: the learning rate that all of them begin with."""
        self.parts = parts
        weights = [weight for part in parts for group in part.param_groups for weight in group["params"]]
        super().__init__([{"params": weights}], {"lr": lr})
        self._share_groups()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of each part."""
        for part in self.parts:
            part.step(closure)

    def state_dict(self) -> dict[str, Any]:
        """The states of the parts, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the states of the parts."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()

    def _share_groups(self) -> None:
        """Have the learning rate that a scheduler sets here be that of the parts."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]


class RoundedOptimizer(Parts):
    """Steps weights that are held in bfloat16, one after the other, each in float32 for the time of its step.

    A step of a usual size is smaller than half the distance of two numbers of bfloat16, so rounded to the nearest the
    weight would stay where it is. `kahan`: what rounding left over is kept, in bfloat16 too, and added in the next step
    (Kahan 1965, "Further remarks on reducing truncation errors"). Otherwise the weight is rounded up or down at random,
    the nearer one the likelier, so that on average nothing is lost. Both: Zamirai et al. 2020, arXiv:2010.06192.
    """

    def __init__(self, groups: list[dict[str, Any]], make: Callable[[Any], Any], lr: float, seed: int, kahan: bool):
        """`groups`: weights and their settings, as torch has them; `make`: the optimiser of such groups."""
        parts = [make([{**group, "params": [weight]}]) for group in groups for weight in group["params"]]
        self.kahan = kahan
        self.remainders: dict[int, torch.Tensor] = {}
        """By the number of the part."""
        self.seed = seed
        self.generators: dict[torch.device, torch.Generator] = {}
        super().__init__(parts, lr)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Step each weight that has a gradient."""
        for number, part in enumerate(self.parts):
            weight = _weight(part)
            if weight.grad is None:
                continue
            if weight.dtype != torch.bfloat16:
                part.step()
                continue
            held, gradient = weight.data, weight.grad
            wide = held.float()
            if number in self.remainders:
                wide += self.remainders[number]
            weight.grad = None
            weight.data, weight.grad = wide, gradient.float()
            part.step()
            wide = weight.data
            weight.grad = None
            held.copy_(wide if self.kahan else round_at_random(wide, self._generator(wide.device)))
            if self.kahan:
                self.remainders[number] = (wide - held).bfloat16()
            weight.data, weight.grad = held, gradient

    def state_dict(self) -> dict[str, Any]:
        """The parts' states, what rounding left over, and where the random numbers are."""
        generators = {str(device): generator.get_state() for device, generator in self.generators.items()}
        return {**super().state_dict(), "remainders": self.remainders, "generators": generators}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            with _wide(_weight(part)):  # torch gives a state the type of its weight
                part.load_state_dict(state)
        self._share_groups()
        devices = [_weight(part).device for part in self.parts]
        self.remainders = {number: value.to(devices[number]) for number, value in state_dict["remainders"].items()}
        for device, state in state_dict["generators"].items():
            self._generator(torch.device(device)).set_state(state.cpu())

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self.generators:
            self.generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self.generators[device]


def round_at_random(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Numbers of float32 as bfloat16: each one of the two next to it, the nearer one the likelier.

    The lower half of the bits is what bfloat16 lacks; a random number of so many bits is added, and they are cut off.
    """
    bits = values.view(torch.int32)
    noise = torch.randint(2**16, bits.shape, generator=generator, device=bits.device, dtype=torch.int32)
    return noise.add_(bits).bitwise_and_(-(2**16)).view(torch.float32).bfloat16()


def _weight(part: Any) -> torch.Tensor:
    weight: torch.Tensor = part.param_groups[0]["params"][0]
    return weight


@contextmanager
def _wide(weight: torch.Tensor) -> Iterator[None]:
    """Have `weight` in float32 meanwhile, if it is bfloat16."""
    held = weight.data
    weight.data = held.float()
    try:
        yield
    finally:
        weight.data = held
