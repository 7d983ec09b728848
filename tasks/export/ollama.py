"""A folder for `ollama create NAME -f Modelfile`: the GGUF file, the template in Go, where to stop, parameters."""

import re
from pathlib import Path
from typing import Any

from tasks.chat.stops import ordered, stop_ids
from tasks.core.errors import ModelError
from tasks.core.files import write_text
from tasks.core.paths import PATHS, Paths
from tasks.core.progress import reporter
from tasks.export.dialogues import accepted
from tasks.export.gotemplate import Frame, translate
from tasks.export.settings import Settings
from tasks.models.gguf.convert import write_gguf
from tasks.models.gguf.proof import prove


def write_ollama(settings: Settings, paths: Paths, out: Path) -> dict[str, Any]:
    """Write it; return what was proved: dialogues that both templates render alike."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(paths.merged, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise ModelError(
            f"export ollama: {PATHS.merged} has no chat template; set template.chat_template and run again."
        )
    report = reporter("export ollama", 3, "steps")
    report(0)
    frame = translate(tokenizer)
    report(1)
    file = f"model-{settings.gguf}.gguf"
    write_gguf(paths.merged, out / file, settings.gguf)
    report(2)
    dialogues = accepted(tokenizer)
    chats = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in dialogues]
    ends = stops(paths.merged, tokenizer)
    proof = prove(paths.merged, out / file, chats, f"export ollama: {file}")
    report(3)
    write_text(out / "Modelfile", modelfile(file, frame, ends, settings, proof.context))
    return {
        "gguf": settings.gguf,
        "dialogues_rendered_alike": len(dialogues),
        "same_token_ids": True,
        **proof.difference.as_dict(),
    }


def modelfile(file: str, frame: Frame, stop: list[str], settings: Settings, context: int) -> str:
    """The Modelfile's text; `context` in tokens, as the file says it."""
    lines = [f"FROM ./{file}", f"TEMPLATE {quoted(frame.go(), block=True)}", f"PARAMETER num_ctx {context}"]
    lines += [f"PARAMETER stop {quoted(token)}" for token in stop]
    return "\n".join([*lines, f"PARAMETER temperature {settings.temperature:g}"]) + "\n"


def quoted(text: str, *, block: bool = False) -> str:
    """`text` as a value of a Modelfile, which knows quotes and no escapes (parser/parser.go of Ollama); `block`: in
    three quotes in any case.

    >>> quoted("</s>")
    '"</s>"'

    Raises `ModelError` for what its parser would drop, or take for the end.
    """
    if dropped := next((sign for sign in text if not sign.isprintable() and sign not in "\n\t"), None):
        raise ModelError(
            f"export ollama: the template or a stop has the character U+{ord(dropped):04X}, which a Modelfile cannot "
            "hold; remove ollama from export.formats, or the character from the template."
        )
    if re.search(r'"""\s*\n', text):
        raise ModelError(
            'export ollama: the template has """ at the end of a line, which ends a value of a Modelfile; remove '
            "ollama from export.formats, or the quotes from the template."
        )
    return f'"""{text}"""' if block or "\n" in text or '"' in text else f'"{text}"'


def stops(merged: Path, tokenizer: Any) -> list[str]:
    """The tokens at which generation ends, by the model's own generation settings."""
    return [str(tokenizer.convert_ids_to_tokens(number)) for number in ordered(stop_ids(merged, tokenizer), tokenizer)]
