"""A reward model from data/guides: reads a prompt and an answer, and gives one number.

Shapes: `B` rows of a batch, here always 1, `T` tokens.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.align import guides
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.models.foreign import foreign
from tasks.models.loading import check_finite, load_tokenizer

if TYPE_CHECKING:
    from tasks.align.rewards import RewardFunction


def reward_model(name: str, key: str, paths: Paths, tokenizer: Any) -> "RewardFunction":
    """Scores by the model `name`; raises `InputError` where its tokens are not those of `tokenizer`."""
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = guides.model(paths, name, f"{key}.name")
    check_tokens(folder, tokenizer)
    with foreign(folder, "put a reward model there that `align` has trained"):
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
    check_finite(model, folder)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.eval().requires_grad_(False)
    if torch.cuda.is_available():
        model.cuda()

    def score(prompts: Any, completion_ids: Any, **rest: Any) -> list[float]:
        scores = []
        for prompt, answer in zip(prompts, completion_ids, strict=True):  # one by one: no padding, so no other bits
            with torch.no_grad():
                ids = torch.tensor([list(prompt) + strip_padding(answer, tokenizer)], device=model.device)  # (1, T)
                scores.append(model(input_ids=ids).logits.item())
        return scores

    return score


def check_tokens(folder: Path, tokenizer: Any) -> None:
    """Raise `InputError` where the model in `folder` has other tokens than `tokenizer`, that of the base."""
    if load_tokenizer(folder).get_vocab() != tokenizer.get_vocab():
        raise InputError(
            f"{folder}: the tokens of this model are not those of the base, so it cannot score the base's answers; "
            "use one of the same base, such as a reward model that align.objective reward trains."
        )


def strip_padding(answer: list[int], tokenizer: Any) -> list[int]:
    """`answer` without what fills it up; where the end of a turn is what fills up, one of them is the answer's own."""
    stripped = list(answer)
    while stripped and stripped[-1] == tokenizer.pad_token_id:
        stripped.pop()
    if len(stripped) < len(answer) and tokenizer.pad_token_id == tokenizer.eos_token_id:
        stripped.append(tokenizer.eos_token_id)
    return stripped
