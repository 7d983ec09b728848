"""The objective `sdft`: the model, shown the reference of a row, teaches itself how to answer without it.

Self-distillation fine-tuning (Shenfeld 2026, arXiv:2601.19897) by trl's trainer: the student answers the prompt, and
learns at each token what it would expect with the reference before its eyes. It learns from answers of its own, so that
it forgets less than by training on references; it has to be able to make use of an example already.

Shapes: `B` answers of a batch, `P` tokens of a prompt, `T` of an answer.
"""

from typing import Any

import torch

from tasks.align.trainers import PreparedTrainer
from tasks.models.private_transformers import Ordered
from tasks.training.private_trl import PromptsAndContexts, SDFTTrainer
from tasks.training.samplers import RepeatedPromptSampler


class SDFT(Ordered, PromptsAndContexts, PreparedTrainer, SDFTTrainer):  # type: ignore[misc]
    """trl's trainer on ready ids: `privileged_context` of an item is the prompt of the model as its own teacher."""

    def sampler(self) -> RepeatedPromptSampler:
        """Each prompt as often as it is answered, in an order that a run which goes on finds again."""
        args: Any = self.args
        prompts, together = len(self.train_dataset), args.generation_batch_size // args.num_generations
        repeats = args.num_iterations * args.steps_per_generation
        return RepeatedPromptSampler(prompts, args.num_generations, together, repeats, args.seed)

    def probe(self, index: int, answer_tokens: int, copies: int) -> Any:
        """A loss of `copies` times item `index` with an answer of `answer_tokens` tokens; only its memory counts."""
        item, device = self.train_dataset[index], self.args.device
        prompt, shown = (torch.tensor([item[name]] * copies) for name in ("prompt", "privileged_context"))  # (B, P)
        answer = torch.tensor([item["prompt"][-1:] * answer_tokens] * copies)  # (B, T)
        teacher = torch.cat([shown, answer], 1)
        if not hasattr(self, "current_gradient_accumulation_steps"):
            self.current_gradient_accumulation_steps = 1  # until training sets it
        batch = {
            "prompt_ids": prompt,
            "prompt_mask": torch.ones_like(prompt),
            "completion_ids": answer,
            "completion_mask": torch.ones_like(answer),
            "teacher_input_ids": teacher,
            "teacher_attention_mask": torch.ones_like(teacher),
        }
        return self.compute_loss(self.model, {name: value.to(device) for name, value in batch.items()})
