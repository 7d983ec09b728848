"""Every family through the whole chain; the outcome of each step, by its name."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.families.build import build
from tests.families.chain import Chain, Outcome

Step = tuple[str, Outcome]

TOKENS: dict[str, Any] = {"template__chat_template": "chatml", "template__new_tokens": ["<|tool|>", "<|doc|>"]}
"""Settings that give the tokenizer tokens that the base has no embeddings for."""


def run(name: str, folder: Path, short: bool = False) -> Iterator[Step]:
    """Take the family `name` through the chain in `folder`, which is removed afterwards.

    `short`: only as far as an adapter is merged.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        chain = Chain(folder / "rows", lambda model: build(name, model))
        first = chain.stage("base"), chain.stage("template")
        yield from zip(("base", "template"), first, strict=True)
        if short:
            yield from _trained(chain, "lora", lambda: _merged(chain, "lora"), train__method="lora")
            return
        if all(outcome.works for outcome in first):
            for part in (_lora, _full, _qlora, _packing, _new_tokens):
                yield from part(chain)
                chain.remove(chain.paths.fitted, chain.paths.merged, chain.paths.data / "evaluation")
        yield from _pairs(Chain(folder / "pairs", lambda model: shutil.copytree(folder / "rows/model", model), True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _after(outcome: Outcome, name: str, further: Callable[[], Iterator[Step]]) -> Iterator[Step]:
    """The step, and what follows where it worked."""
    yield name, outcome
    if outcome.works:
        yield from further()


def _trained(chain: Chain, name: str, further: Callable[[], Iterator[Step]], **settings: Any) -> Iterator[Step]:
    def checked() -> Iterator[Step]:
        yield f"{name}: loss", chain.oracle("loss")
        yield from further()

    yield from _after(chain.stage("train", **settings), f"{name}: train", checked)


def _merged(chain: Chain, name: str, further: Callable[[], Iterator[Step]] | None = None) -> Iterator[Step]:
    def checked() -> Iterator[Step]:
        yield f"{name}: merged", chain.oracle("merged")
        yield from further() if further else ()

    yield from _after(chain.stage("merge"), f"{name}: merge", checked)


def _lora(chain: Chain) -> Iterator[Step]:
    def used() -> Iterator[Step]:
        yield from _after(chain.stage("evaluate", "merged"), "evaluate", answered)
        for scheme in ("nf4", "int8"):
            yield from _after(chain.stage("quantize", scheme), scheme, partial(bits, scheme))
        yield from _after(chain.stage("quantize", "gguf-q8_0"), "gguf", run)
        yield "ollama", chain.stage("export", "ollama", export__formats=["ollama"])
        chain.remove(chain.paths.schemes, chain.paths.data / "exported")

    def run() -> Iterator[Step]:
        yield "gguf: evaluate", chain.stage("evaluate", "gguf-q8_0")

    def answered() -> Iterator[Step]:
        yield "evaluate: answers", chain.oracle("answers")

    def bits(scheme: str) -> Iterator[Step]:
        yield f"{scheme}: bits", chain.oracle("low_bits", scheme)

    yield from _trained(chain, "lora", lambda: _merged(chain, "lora", used), train__method="lora")


def _full(chain: Chain) -> Iterator[Step]:
    settings: dict[str, Any] = {"train__method": "full", "train__learning_rate": 1e-3}
    yield from _trained(chain, "full", lambda: _merged(chain, "full"), **settings)


def _qlora(chain: Chain) -> Iterator[Step]:
    def merged() -> Iterator[Step]:
        yield "qlora: merge", chain.stage("merge")

    yield from _after(chain.stage("train", train__method="qlora"), "qlora: train", merged)


def _packing(chain: Chain) -> Iterator[Step]:
    settings: dict[str, Any] = {"template__packing": True, "template__max_length": 256}
    yield from _after(
        chain.stage("template", **settings),
        "packing: template",
        lambda: _trained(chain, "packing", lambda: iter(()), **settings),
    )
    chain.remove(chain.paths.templated)


def _new_tokens(chain: Chain) -> Iterator[Step]:
    yield from _after(
        chain.stage("template", **TOKENS),
        "new tokens: template",
        lambda: _trained(chain, "new tokens", lambda: _merged(chain, "new tokens"), train__method="lora", **TOKENS),
    )
    chain.remove(chain.paths.templated)


def _pairs(chain: Chain) -> Iterator[Step]:
    """Preferences on the base itself, without a row for `train`."""
    settings: dict[str, Any] = {"align__objective": "dpo", "align__start": "base", "train__enabled": False}

    def aligned() -> Iterator[Step]:
        yield from _after(chain.stage("align", **settings), "dpo: align", merged)

    def merged() -> Iterator[Step]:
        yield from _merged(chain, "dpo")

    def templated() -> Iterator[Step]:
        yield from _after(chain.stage("train", **settings), "dpo: train off", aligned)

    if (base := chain.stage("base")).works:
        yield from _after(chain.stage("template", **settings), "dpo: template", templated)
    else:
        yield "dpo: base", base
