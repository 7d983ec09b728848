"""An audit of a chat template alone: built-in dialogues under it, each judged by the checks of the stage."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from tasks.audit.dialogues import dialogues
from tasks.chat.reasoning import reasoning_kept
from tasks.chat.special_tokens import CONTROL
from tasks.template.findings import Findings
from tasks.template.rows import Templater
from tasks.template.settings import Settings
from tasks.template.tokenizer import jinja, prepare

TEN = {
    "unrenderable": 1,
    "coverage": 2,
    "indentation": 2,
    "trimmed": 2,
    "history": 2,
    "unread_key": 2,
    "scaffold": 3,
    "quoted": 3,
    "supervision": 4,
    "think": 4,
    "unknown": 4,
    "prefix": 5,
    "generation_prompt": 5,
    "stop": 6,
}
"""Check -> its number among the ten that catch most ruined fine-tunes: 1 conservation, 2 coverage, 3 scaffold,
4 supervision, 5 prefix, 6 stop. The others (7 equivalence, 8 first step, 9 identity, 10 canaries) need a run."""

_END = re.compile(r"(?i)im_end|eot_|end.?of.?(?:turn|sentence|text|utterance)|<turn\||return|</s>|eos|<\|end\|>")
"""Those that end turns."""


def audit(
    settings: Settings, tokenizer: Any | None, file: Path
) -> tuple[Findings, dict[str, list[str]], dict[str, str], str]:
    """Findings over the dialogues, the checks that each fails, what was made right, and where reasoning is written.

    Without a tokenizer one is made that knows every byte and the control tokens that stand in the template.
    """
    text = jinja(file)
    prepared = tokenizer or _bytes(text)
    prepared.chat_template = text
    prepared, notes = prepare(prepared, settings, str(file))
    templater = Templater(prepared, settings, {prepared.eos_token_id}, 10**9, None)
    notes = templater.reconcile() | notes
    if tokenizer is None:
        notes = {slug: message for slug, message in notes.items() if slug not in ("end_token", "no_pad")}
    quoted = prepared.eos_token
    findings, failed = Findings(), {}
    for name, (messages, tools) in dialogues(quoted).items():
        outcome = templater.examine(name, messages, tools)
        problems: Counter[str] = outcome.notes.copy()
        if name == "control tokens quoted":
            del problems["quoted"]  # that is the point of the dialogue; the check is that it was read right
        for slug in problems:
            findings.add(slug, name, outcome.detail if slug in ("unrenderable", "coverage", "history") else None)
        failed[name] = sorted(problems, key=list(TEN).index)
    return findings, failed, notes, reasoning_kept(templater.renderer)


def _bytes(template: str) -> Any:
    """A tokenizer of bytes, with the control tokens that the template names."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: number for number, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    controls = sorted(set(CONTROL.findall(template)))
    ends = [token for token in controls if _END.search(token)]
    named = {"bos_token": "<s>", "eos_token": "</s>" if "eos_token" in template or not ends else ends[0]}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **named,
        extra_special_tokens=[token for token in controls if token not in named.values()],
    )
