"""A machine with several cards trains as one with a single card does: the same batch, on one of them."""

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.sft_config import SFTConfig

from tasks.training.arguments import arguments
from tasks.training.loop import prepare
from tasks.training.settings import Optimization


@pytest.mark.parametrize("kind", [SFTConfig, DPOConfig])
@pytest.mark.parametrize("cards", [0, 1, 2, 8])
def test_a_batch_is_what_the_settings_say_however_many_cards_there_are(kind: Any, cards: int, tmp_path: Path) -> None:
    class Several(kind):  # type: ignore[misc]
        """What transformers says of itself where it sees so many cards."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self._n_gpu = cards

    Several.__name__ = kind.__name__
    chosen = arguments("train", Several, Optimization(batch_size=6), tmp_path)
    assert (chosen.train_batch_size, chosen.eval_batch_size) == (6, 6)
    assert chosen.n_gpu == min(cards, 1)


def test_accelerate_looks_up_once_whether_peft_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.utils import is_peft_available

    prepare(Optimization())
    assert is_peft_available()
    monkeypatch.delattr(importlib.metadata, "metadata")
    assert is_peft_available()
