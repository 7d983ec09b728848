"""A tokenizer as GGUF metadata: byte-level BPE ("gpt2"), or BPE with byte fallback like sentencepiece's ("llama")."""

import json
import re
from typing import Any

import gguf

from tasks.core.errors import ModelError

WORDS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "llama-bpe",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen35",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+": "tekken",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+": "gpt-4o",
}
"""How text is cut into words before merging: the regular expression, and llama.cpp's name for it."""

BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def add_tokenizer(writer: Any, tokenizer: Any, size: int) -> None:
    """Write vocabulary, merges or scores, kinds of tokens, special ids and chat template.

    `size`: rows of embeddings.
    """
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    model = backend["model"]
    if model["type"] != "BPE":
        raise _unsupported(f"its model is {model['type']}, but only BPE is supported")
    tokens = _tokens(tokenizer, size)
    byte_level = not model.get("byte_fallback")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    if byte_level:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(words(backend))
    else:
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(_kinds(backend, tokens, tokenizer, byte_level))
    if byte_level:
        writer.add_token_merges(merges)
    else:
        writer.add_token_scores(_scores(tokens, merges))
        writer.add_add_space_prefix(_prepends_space(backend))
    for name in ("bos", "eos", "pad", "unk"):
        if (number := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    plain = tokenizer("a")["input_ids"]
    writer.add_add_bos_token(tokenizer.bos_token_id is not None and plain[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(plain[-1] == tokenizer.eos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _tokens(tokenizer: Any, size: int) -> list[str]:
    """Token texts by id; ids without a token, up to `size`, are filled with names that no text contains."""
    known = {number: text for text, number in tokenizer.get_vocab().items()}
    return [known.get(number, f"[PAD{number}]") for number in range(size)]


def _kinds(backend: dict[str, Any], tokens: list[str], tokenizer: Any, byte_level: bool) -> list[int]:
    added = {token["content"]: token["special"] for token in backend["added_tokens"]}
    known = tokenizer.get_vocab()

    def kind(text: str) -> int:
        if text not in known:
            return int(gguf.TokenType.UNUSED)
        if text == tokenizer.unk_token and not byte_level:
            return int(gguf.TokenType.UNKNOWN)
        if text in added:
            return int(gguf.TokenType.CONTROL if added[text] else gguf.TokenType.USER_DEFINED)
        if not byte_level and BYTE.fullmatch(text):
            return int(gguf.TokenType.BYTE)
        return int(gguf.TokenType.NORMAL)

    return [kind(text) for text in tokens]


def _scores(tokens: list[str], merges: list[str]) -> list[float]:
    """Minus the rank, so that llama.cpp merges in the order of `merges`; tokens that no merge makes come last."""
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault("".join(pair.split(" ")), rank)
    return [-float(ranks.get(token, len(merges))) for token in tokens]


def words(backend: dict[str, Any]) -> str:
    """llama.cpp's name for the way this byte-level tokenizer cuts text into words."""
    steps = backend["pre_tokenizer"] or {}
    steps = steps.get("pretokenizers", [steps])
    byte_level = next((step for step in steps if step.get("type") == "ByteLevel"), None)
    if byte_level is None:
        raise _unsupported("it has neither byte-level pre-tokenisation nor byte fallback")
    if backend["normalizer"] not in (None, {"type": "NFC"}):
        raise _unsupported(f"it normalises text by {backend['normalizer']['type']}")
    if byte_level["add_prefix_space"]:
        raise _unsupported("it puts a space before the text")
    others = [step for step in steps if step is not byte_level]
    if not others and byte_level["use_regex"]:
        return "gpt-2"
    patterns = [step.get("pattern", {}).get("Regex") for step in others]
    if len(patterns) == 1 and patterns[0] in WORDS and not byte_level["use_regex"]:
        return WORDS[patterns[0]]
    raise _unsupported("it splits text into words in a way that llama.cpp does not support here")


def _prepends_space(backend: dict[str, Any]) -> bool:
    """Whether a text gets a space in front before it is cut into tokens."""
    normalizer = backend["normalizer"] or {}
    steps = normalizer.get("normalizers", [normalizer])
    metaspace = backend["pre_tokenizer"] or {}
    return any(step.get("type") == "Prepend" for step in steps) or (
        metaspace.get("type") == "Metaspace" and metaspace.get("prepend_scheme") != "never"
    )


def _unsupported(why: str) -> ModelError:
    return ModelError(
        f"gguf: the tokenizer cannot be written, because {why}; remove the gguf schemes from quantize.schemes."
    )
