"""The objective `gold`: answers of the student and of the rows, by the likelihoods of a teacher with other tokens.

trl's GOLD (Patino 2025, https://huggingface.co/spaces/HuggingFaceH4/general-on-policy-logit-distillation) with the loss
of Universal Logit Distillation (Boizard 2024, arXiv:2402.12030): tokens of both are put together up to where both end
at the same byte of the answer, and the sorted probabilities of the next token there are compared; the sum of absolute
differences is the loss. Of trl's ways to put tokens together this is `bayesian`: by its default, `observed`, trl takes
the probabilities behind a token for those of it. The end of an answer is compared too, which trl leaves out by default.

The teacher reads the dialogue in its own chat template, where trl would show it that of the student.

Shapes: `B` rows of a batch, `T` tokens of the student; ids, masks and labels are (B, T), padded on the left.
"""

from typing import Any

import torch

from tasks.align.sampling import collate
from tasks.align.trainers import PreparedTrainer
from tasks.models.private_transformers import Ordered
from tasks.rows.canonical import IGNORED
from tasks.training.private_trl import GOLDTrainer, StudentOffsets
from tasks.training.samplers import RepeatedPromptSampler


class GOLD(Ordered, StudentOffsets, PreparedTrainer, GOLDTrainer):  # type: ignore[misc]
    """trl's trainer on ready ids; `teacher_prompt` of each item is what the teacher reads before the answer."""

    def __init__(self, *, folder: str, **options: Any) -> None:
        """`folder`: of the teacher, with its tokenizer; no machine's path stays in what is recorded."""
        options["args"].teacher_tokenizer_name_or_path = folder
        tokenizer = options["processing_class"]
        super().__init__(**options, data_collator=lambda items: gold_batch(items, tokenizer))
        self.args.teacher_tokenizer_name_or_path = None

    def sampler(self) -> RepeatedPromptSampler:
        """Rows in an order that a run which goes on finds again, each batch as often as trl asks for it."""
        args: Any = self.args
        passes = args.gradient_accumulation_steps
        together = args.per_device_train_batch_size * passes
        return RepeatedPromptSampler(len(self.train_dataset), 1, together, passes, args.seed)

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        """The mean over rows; of a batch in parts each counts as its share, which trl leaves out."""
        loss = super().compute_loss(model, inputs, **kwargs)
        if kwargs.get("num_items_in_batch") is not None:
            loss = loss / self.args.gradient_accumulation_steps
        return loss

    def generate_on_policy_outputs(self, model: Any, inputs: Any, generation_config: Any) -> Any:
        """As trl's; the teacher reads its own prompt, and the answer without the student's special tokens."""
        ids, mask, labels, _, _ = super().generate_on_policy_outputs(model, inputs, generation_config)
        return ids, mask, labels, inputs["original_prompt_text"], answers(labels, self.processing_class)

    def offsets(self, labels: Any) -> Any:
        """See `StudentOffsets`."""
        return byte_offsets(labels, self.processing_class)

    def probe(self, index: int, answer_tokens: int, copies: int) -> Any:
        """A loss of `copies` times item `index` with an answer of `answer_tokens` tokens; only its memory counts."""
        item: dict[str, Any] = {**self.train_dataset[index]}
        longer = max(answer_tokens, len(item["reference_ids"]))
        item["reference_ids"] = (item["reference_ids"] * longer)[:longer]
        batch = self.data_collator([item] * copies)
        moved = {name: value.to(self.args.device) if torch.is_tensor(value) else value for name, value in batch.items()}
        return self.compute_loss(self.model, moved)


def gold_batch(items: list[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """Items as GOLD reads them: those of `sampling.collate`, texts for the teacher, byte offsets (B, T, 2)."""
    batch = collate(tokenizer.pad_token_id)(items)
    return {
        **batch,
        "original_prompt_text": [item["teacher_prompt"] for item in items],
        "original_completion_text": answers(batch["labels"], tokenizer),
        "byte_offsets": byte_offsets(batch["labels"], tokenizer),
    }


def answers(labels: Any, tokenizer: Any) -> list[str]:
    """The labelled tokens of each row (B, T) as text, without special tokens: the teacher has others."""
    return [
        tokenizer.decode(row[row != IGNORED].tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for row in labels.cpu()
    ]


def byte_offsets(labels: Any, tokenizer: Any) -> Any:
    """Where each labelled token begins and ends in the bytes of its answer (B, T, 2); a special token has no bytes."""
    offsets = torch.zeros(*labels.shape, 2, dtype=torch.long)
    special, added = set(tokenizer.all_special_ids), tokenizer.added_tokens_decoder
    for line, row in enumerate(labels.tolist()):
        end = 0
        for place, token in enumerate(row):
            if token == IGNORED:
                continue
            start = end
            if token not in special:
                piece = tokenizer.convert_ids_to_tokens(token)
                end += len(str(piece).encode()) if token in added else len(piece)  # a letter of BPE stands for a byte
            offsets[line, place] = torch.tensor([start, end])
    return offsets.to(labels.device)
