"""A project of `tiny` whose rows are questions and the documents that answer them, templated for embeddings."""

from pathlib import Path
from typing import Any

from tasks.core.paths import Paths
from tasks.template import stage as template
from tasks.template.settings import Embed
from tests.tasks import tiny

TEMPLATE = template.Settings(embed=Embed(query="find: "))


def project(root: Path, settings: template.Settings = TEMPLATE, *, base: Any = None) -> Paths:
    """As `tiny.project` before training, templated by `settings`; `base(folder)` puts another base in its place."""
    paths = tiny.project(root, method="none")
    if base is not None:
        folder = paths.base / "model"
        for file in folder.iterdir():
            file.unlink()
        base(folder)
        tiny.record(paths, folder, "trained", "model")
    template.run(settings, paths)
    return paths


def encoder(folder: Path, **shape: Any) -> None:
    """Save a random BERT for masked words, 2 layers and 32 wide unless `shape` says otherwise, and a tokenizer that
    begins and ends each text."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    words = sorted({word for chat in tiny.conversations() for turn in chat for word in turn["content"].split()})
    vocabulary = {
        name: number for number, name in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "find", ":", "-", "f", *words])
    }
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    coder = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=64,
    )  # fmt: skip
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(
        vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.2, **(sizes | shape)
    )
    BertForMaskedLM(config).save_pretrained(folder)
    coder.save_pretrained(folder)
