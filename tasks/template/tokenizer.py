"""The tokenizer as it is trained with: its chat template, its control tokens, and where generation stops."""

from pathlib import Path
from typing import Any

from tasks.chat.stops import config_stop_ids
from tasks.core.errors import InputError, ModelError
from tasks.core.json_files import read_object
from tasks.models.foreign import foreign
from tasks.models.loading import check_ids
from tasks.models.text_config import text_part, text_value
from tasks.models.tokenizer_bounds import check_file, try_out
from tasks.template.settings import Settings

CHAT = Path(__file__).parent / "chat"
"""Chat templates by name."""

FILES = ("tokenizer.json", "vocab*", "*.model")
"""Of which a folder with a tokenizer has at least one."""

LARGEST_TEMPLATE = 2**19
"""Bytes of the largest file that is read as a chat template: four for each character that is compiled."""

LONGEST = 10**9
"""Above this a tokenizer's model_max_length is a placeholder for none (transformers: 1e30)."""


def load(folder: Path | str, settings: Settings) -> tuple[Any, dict[str, str]]:
    """The tokenizer in `folder` as it is trained with, and what was made right, by slug; see `read` and `prepare`."""
    tokenizer, notes = read(folder, settings), {}
    if _splits_wrongly(tokenizer):
        tokenizer = read(folder, settings, fix_mistral_regex=True)
        notes["mistral_regex"] = (
            "the tokenizer split words with a wrong regex, which was replaced by Mistral's correct one"
        )
    tokenizer, more = prepare(tokenizer, settings, str(folder))
    return tokenizer, notes | more


def _splits_wrongly(tokenizer: Any) -> bool:
    """Whether transformers calls the regex of the tokenizer incorrect, and it is one of Mistral's.

    transformers goes by the architecture; a Mistral with the tokenizer of another family is right as it is.
    """
    warned = getattr(tokenizer.backend_tokenizer, "fix_mistral_regex", None) is False
    return warned and "[INST]" in tokenizer.get_vocab()


def read(folder: Path | str, settings: Settings, **options: bool) -> Any:
    """The tokenizer in `folder` with the chat template that the settings name, if they do.

    `options`: transformers' own, for loading it.

    Raises `ModelError` where it cannot be loaded, or is none of the fast ones, which alone say where tokens come from;
    `InputError` where the settings name no template that there is.
    """
    from transformers import AutoTokenizer

    if Path(folder).is_dir() and not any(next(Path(folder).glob(name), None) for name in FILES):
        raise ModelError(f"{folder}: there is no tokenizer in this folder; put tokenizer.json there.")
    with foreign(Path(folder), "restore its files", "the tokenizer cannot be loaded"):
        patterns = check_file(Path(folder))
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
    check_ids(tokenizer, str(folder))
    try_out(tokenizer, patterns, Path(folder))
    longest = tokenizer.model_max_length
    if not isinstance(longest, int | float) or longest != longest:
        raise ModelError(
            f"{folder}: model_max_length = {str(longest)[:40]!r} of the tokenizer is not a number of tokens; fix "
            "tokenizer_config.json."
        )
    if not tokenizer.is_fast:
        raise ModelError(f"{folder}: the tokenizer has no tokenizer.json; save it once as a fast tokenizer.")
    if settings.chat_template is not None:
        tokenizer.chat_template = template_text(settings.chat_template)
    return tokenizer


def prepare(tokenizer: Any, settings: Settings, name: str) -> tuple[Any, dict[str, str]]:
    """The tokenizer ready to render and to pad, and what was made right for that, by slug.

    Raises `ModelError` where it has no end token, or more chat templates than one. Errors show `name`.
    """
    notes = {}
    if settings.new_tokens:
        known = set(tokenizer.get_vocab())
        added = [token for token in settings.new_tokens if token not in known]
        tokenizer.add_special_tokens({"extra_special_tokens": list(settings.new_tokens)})
        notes["added_tokens"] = f"new control tokens: {', '.join(added) or 'none, all were known'}"
    if not tokenizer.chat_template:
        tokenizer.chat_template = template_text("plain")
        notes["no_template"] = "the base has no chat template: temper uses plain (template.chat_template)"
    if not isinstance(tokenizer.chat_template, str):
        raise ModelError(f"{name}: the tokenizer has several chat templates; name one file in template.chat_template.")
    if not tokenizer.eos_token or tokenizer.eos_token_id is None:
        raise ModelError(f"{name}: the tokenizer has no end token, so a model could not learn to stop; set eos_token.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # harmless: padding is masked by position, not by token
        notes["no_pad"] = f"no pad token: temper pads batches with {tokenizer.eos_token}, masked by position"
    if _adds_bos(tokenizer) and not _writes_bos(tokenizer):
        # the tokenizer begins every text with it, so the base was trained that way (huggingface/transformers#27634)
        tokenizer.chat_template = "{{- bos_token -}}" + tokenizer.chat_template
        notes["no_bos"] = (
            f"the chat template leaves out {tokenizer.bos_token}, with which the tokenizer starts texts: temper added "
            "it"
        )
    return tokenizer, notes


def context_length(base: Path) -> int | None:
    """The longest sequence that the base was made for, in tokens, from its config.json."""
    config = read_object(base / "config.json", ModelError)
    part = text_part(config)
    older = part.get("n_positions") and not part.get("max_position_embeddings")
    name = "n_positions" if older else "max_position_embeddings"
    return _count(text_value(base, config, name), base, name)


def eos_mismatch(base: Path | None, tokenizer: Any) -> dict[str, str]:
    """What is to be said where the base's configuration does not name the token that ends turns, by slug."""
    named = config_stop_ids(base)
    if not named or tokenizer.eos_token_id in named:
        return {}
    tokens = ", ".join(map(str, tokenizer.convert_ids_to_tokens(sorted(named))))
    return {"end_token": f"turns end with {tokenizer.eos_token}, but the base's configuration stops only at {tokens}"}


def embedding_rows(base: Path, settings: Settings) -> int | None:
    """Rows of the base's embeddings, from its config.json; None where it does not say, or where they will grow."""
    size = _count(text_value(base, read_object(base / "config.json", ModelError), "vocab_size"), base, "vocab_size")
    return None if settings.new_tokens else size


def max_length(tokenizer: Any, base: Path, asked: int | None) -> tuple[int, str]:
    """The longest row in tokens, and where the number comes from.

    Raises `InputError` where there is none, or a longer one is asked for than the base was made for: models with rotary
    positions go on past it without a word (hiyouga/LlamaFactory#2632).
    """
    longest = context_length(base)
    if asked is not None:
        if longest is not None and asked > longest:
            raise InputError(f"template.max_length = {asked}: the base allows at most {longest} tokens; lower it.")
        return asked, "template.max_length"
    known = [(longest, "context of the base"), (tokenizer.model_max_length, "model_max_length of the tokenizer")]
    bounds = [(length, source) for length, source in known if length and length < LONGEST]
    if not bounds:
        raise InputError("template.max_length: the base does not state its context; set this, in tokens.")
    return min(bounds)


def _count(value: Any, base: Path, name: str) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ModelError(f"{base / 'config.json'}: {name} = {value!r} is not a number of tokens; restore it.")
    return value


def template_text(name: str) -> str:
    """The chat template of `template.chat_template`. Raises `InputError` where there is none."""
    file = CHAT / f"{name}.jinja" if name in (known := _bundled()) else Path(name)
    if not file.is_file():
        raise InputError(
            f"template.chat_template = {name}: no such template; known: {', '.join(known)}; or name a Jinja file."
        )
    return jinja(file)


def check_tracked(name: str | None, folder: Path) -> None:
    """Raise `InputError` where `template.chat_template` is a file outside `folder`, on which the stage depends."""
    if name is None or name in _bundled() or Path(name).resolve().is_relative_to(folder.resolve()):
        return
    mine = folder / Path(name).name
    raise InputError(
        f"template.chat_template = {name}: temper would not notice changes to it there; move it to {mine}."
    )


def _bundled() -> list[str]:
    return sorted(path.stem for path in CHAT.glob("*.jinja"))


def jinja(file: Path) -> str:
    """The chat template in a file. Raises `InputError` where there is none, or no text."""
    if not file.is_file():
        raise InputError(f"{file}: no such file; name a chat template in Jinja.")
    if (size := file.stat().st_size) > LARGEST_TEMPLATE:
        raise InputError(f"{file}: {size:,} bytes are too many for a chat template; name a chat template in Jinja.")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text (byte {error.start}); give a chat template in Jinja.") from None
    if not text.strip():
        raise InputError(f"{file}: the file is empty; name a chat template in Jinja.")
    return text


def _adds_bos(tokenizer: Any) -> bool:
    if tokenizer.bos_token_id is None:
        return False
    ids = tokenizer("x")["input_ids"]
    return bool(ids) and ids[0] == tokenizer.bos_token_id and tokenizer.bos_token_id != tokenizer.eos_token_id


def _writes_bos(tokenizer: Any) -> bool:
    from tasks.chat.renderer import Renderer, Unrenderable

    try:
        return Renderer(tokenizer).probe().startswith(tokenizer.bos_token)
    except Unrenderable:
        return True  # each row will say so
