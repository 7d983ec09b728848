"""The validation loss: the mean over the labelled tokens of the whole split, however its rows stand in batches.

transformers takes the mean of each batch and then the mean of those, so a token of a short row counts more the fewer
rows share its batch: another batch size gave another loss, and `patience` compares such numbers.

Shapes: `B` lines of a batch, `T` tokens of a line.
"""

from math import ceil
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput

from tasks.rows.canonical import IGNORED
from tasks.training.sharding import put_back


class TokenMean:
    """Before a `Trainer` among the bases, whose loss of a batch is the mean over its labelled tokens."""

    args: Any
    model: Any
    optimizer: Any
    data_collator: Any
    callback_handler: Any
    state: Any
    control: Any
    aux_loss_enabled: bool

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """The loss in nats a token. Of several processes each takes its share of the rows, and each row counts once.

        What a mixture of experts adds for how evenly a batch uses them, and some adapters for their weights, is no mean
        over tokens: it is left out.
        """
        args, rows = self.args, dataloader.dataset
        share = range(args.process_index, len(rows), args.world_size)
        own = [list(share[at : at + args.eval_batch_size]) for at in range(0, len(share), args.eval_batch_size)]
        passes = ceil(ceil(len(rows) / args.world_size) / args.eval_batch_size)
        batches = DataLoader(
            rows,
            batch_sampler=own + [[0]] * (passes - len(own)),  # processes that share weights make the same passes
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
        )
        self.model.eval()
        if callable(switch := getattr(self.optimizer, "eval", None)):
            switch()  # schedule-free optimisers hold other weights while they train
        sums = torch.zeros(2, dtype=torch.float64)  # of losses, and the tokens that they are of
        balanced, self.aux_loss_enabled = self.aux_loss_enabled, False
        try:
            for number, batch in enumerate(batches):
                tokens = int((batch["labels"][:, 1:] != IGNORED).sum()) if number < len(own) else 0  # (B, T - 1)
                loss, _, _ = self.prediction_step(self.model, batch, True)  # type: ignore[attr-defined]
                sums += torch.tensor([float(loss) * tokens, tokens], dtype=torch.float64)
                self.control = self.callback_handler.on_prediction_step(args, self.state, self.control)
        finally:
            self.aux_loss_enabled = balanced
            put_back(self.model)
        if args.world_size > 1:
            sums = sums.to(args.device)
            torch.distributed.all_reduce(sums)
        loss, tokens = sums.tolist()
        metrics = {f"{metric_key_prefix}_loss": loss / max(1.0, tokens)}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=len(rows))
