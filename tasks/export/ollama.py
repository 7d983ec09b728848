"""A folder for `ollama create NAME -f Modelfile`: the GGUF file, the template in Go, where to stop, parameters."""

import json
from pathlib import Path
from typing import Any

from tasks.chat.stops import ordered, stop_ids
from tasks.core.errors import ModelError
from tasks.core.files import write_text
from tasks.core.paths import PATHS, Paths
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
    frame = translate(tokenizer)
    file = f"model-{settings.gguf}.gguf"
    write_gguf(paths.merged, out / file, settings.gguf)
    dialogues = accepted(tokenizer)
    chats = [tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in dialogues]
    ends = stops(paths.merged, tokenizer)
    proof = prove(paths.merged, out / file, chats, f"export ollama: {file}")
    write_text(out / "Modelfile", modelfile(file, frame, ends, settings, proof.context))
    return {
        "gguf": settings.gguf,
        "dialogues_rendered_alike": len(dialogues),
        "same_token_ids": True,
        **proof.difference.as_dict(),
    }


def modelfile(file: str, frame: Frame, stop: list[str], settings: Settings, context: int) -> str:
    """The Modelfile's text; `context` in tokens, as the file says it."""
    lines = [f"FROM ./{file}", f'TEMPLATE """{frame.go()}"""', f"PARAMETER num_ctx {context}"]
    lines += [f"PARAMETER stop {json.dumps(token, ensure_ascii=False)}" for token in stop]
    return "\n".join([*lines, f"PARAMETER temperature {settings.temperature:g}"]) + "\n"


def stops(merged: Path, tokenizer: Any) -> list[str]:
    """The tokens at which generation ends, by the model's own generation settings."""
    return [str(tokenizer.convert_ids_to_tokens(number)) for number in ordered(stop_ids(merged, tokenizer), tokenizer)]
