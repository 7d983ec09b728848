"""What `evaluate` would refuse under vLLM of models that other sections make: quantised, with a head, no plain LoRA.

for check in checks({"evaluate"}): check()
"""

from collections.abc import Callable, Iterator

from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS
from tasks.models.for_vllm import adapter_problem
from tasks.rehearsal.sections import section
from tasks.training.methods import METHODS


def checks(needed: set[str]) -> Iterator[Callable[[], object]]:
    """Functions that raise `SettingsError` where vLLM cannot compute a candidate that this run will have.

    `needed`: the stages that are asked.
    """
    if "evaluate" in needed and section("evaluate").engine.kind == "vllm":
        yield check


def check() -> None:
    """Raise `SettingsError` for the first candidate that vLLM cannot compute."""
    train, align = section("train"), section("align")
    if schemes := section("quantize").schemes:
        raise _refusal(
            f"quantize.schemes has {schemes[0]}, and vLLM loads no quantised candidate", "remove all schemes, or "
        )
    if train.objective in ("classify", "embed"):
        raise _refusal(f"train.objective is {train.objective}, and vLLM computes only models that write")
    if section("template").new_tokens:
        raise _refusal("template.new_tokens adds tokens, and vLLM loads the base without them")
    for name, tuned in (("train", train), ("align", align)):
        if name == "align" and (align.objective in ("off", "reward") or align.start == "train"):
            continue
        method = METHODS[tuned.method]
        if method.kind is None:
            continue
        config = {"r": tuned.lora.r, **method.preset, **tuned.peft, "peft_type": method.kind}
        if method.plain:  # saved as any other LoRA
            config.pop("init_lora_weights", None)
        if problem := adapter_problem(config):
            raise _refusal(f"{name}.method is {tuned.method}, whose adapter vLLM does not load ({problem})")


def _refusal(why: str, remedy: str = "") -> SettingsError:
    return SettingsError(f"{PATHS.params}: evaluate.engine.kind is vllm, but {why}; {remedy}set kind to transformers.")
