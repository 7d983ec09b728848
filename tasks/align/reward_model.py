"""A reward model from data/guides: reads a prompt and an answer, and gives one number."""

from typing import TYPE_CHECKING, Any

from tasks.align import guides
from tasks.core.errors import InputError
from tasks.core.paths import Paths

if TYPE_CHECKING:
    from tasks.align.rewards import Worth


def reward_model(name: str, key: str, paths: Paths, tokenizer: Any) -> "Worth":
    """Scores by the model `name`; raises `InputError` where its tokens are not those of `tokenizer`."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = guides.model(paths, name, f"{key}.name")
    if AutoTokenizer.from_pretrained(folder, trust_remote_code=False).get_vocab() != tokenizer.get_vocab():
        raise InputError(
            f"{folder}: the tokens of this reward model are not those of the base, so it cannot read what the base "
            f"writes; train one with align.objective: reward on the same base."
        )
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    model.eval().requires_grad_(False)
    if torch.cuda.is_available():
        model.cuda()

    def scored(prompts: Any, completion_ids: Any, **rest: Any) -> list[float]:
        scores = []
        for prompt, answer in zip(prompts, completion_ids, strict=True):  # one by one: no padding, so no other bits
            with torch.no_grad():
                ids = torch.tensor([list(prompt) + ended(answer, tokenizer)], device=model.device)  # 1 row, T tokens
                scores.append(model(input_ids=ids).logits.item())
        return scores

    return scored


def ended(answer: list[int], tokenizer: Any) -> list[int]:
    """`answer` without what fills it up; where the end of a turn is what fills up, one of them is the answer's own."""
    kept = list(answer)
    while kept and kept[-1] == tokenizer.pad_token_id:
        kept.pop()
    if len(kept) < len(answer) and tokenizer.pad_token_id == tokenizer.eos_token_id:
        kept.append(tokenizer.eos_token_id)
    return kept
