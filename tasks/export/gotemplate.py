"""A chat template in Jinja said again in Go's template language, as Ollama wants it.

Nothing is translated word by word: the template is rendered on marked messages, what stands around the marks is what it
writes around each role, and the new template is accepted only where it renders every dialogue as the old one does.
"""

from dataclasses import dataclass
from typing import Any

from tasks.core.errors import ModelError
from tasks.core.paths import PATHS
from tasks.export.dialogues import Dialogue, accepted

USER, ANSWER, MORE, SYSTEM = (f"Qz{number}zQ" for number in range(4))


@dataclass(frozen=True)
class Frame:
    """What a template writes around the messages."""

    start: str
    """Before everything, where the first message is not the system's."""
    system_start: str
    """The same, where it is."""
    around: dict[str, tuple[str, str]]
    """Before and after a message, by role."""
    prompt: str
    """After the last message, where an answer is wanted."""

    def render(self, messages: Dialogue) -> str:
        """The messages, with the prompt for an answer."""
        system = any(message["role"] == "system" for message in messages)
        text = self.system_start if system else self.start
        for message in messages:
            before, after = self.around[message["role"]]
            text += before + message["content"] + after
        return text + self.prompt

    def go(self) -> str:
        """The same as a template of Ollama, which gives it `.System` and `.Messages`."""
        start = self.start
        if self.system_start != self.start:
            start = f"{{{{ if .System }}}}{self.system_start}{{{{ else }}}}{self.start}{{{{ end }}}}"
        branches = [
            f'{{{{ {"if" if number == 0 else "else if"} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}'
            for number, (role, (before, after)) in enumerate(self.around.items())
        ]
        return f"{start}{{{{ range .Messages }}}}{''.join(branches)}{{{{ end }}}}{{{{ end }}}}{self.prompt}"


def translate(tokenizer: Any) -> Frame:
    """The frame of the tokenizer's chat template. Raises `ModelError` where it is more than a frame."""
    frame = _frame(tokenizer)
    for text in (
        frame.start,
        frame.system_start,
        frame.prompt,
        *(part for pair in frame.around.values() for part in pair),
    ):
        if "{{" in text or "}}" in text or '"""' in text:
            raise _refused("it writes braces or quotes that a Modelfile cannot hold")
    for dialogue in accepted(tokenizer):
        known = all(message["role"] in frame.around for message in dialogue)
        if not known or frame.render(dialogue) != _render(tokenizer, dialogue, prompt=True):
            raise _refused(f"its output depends on more than the role, as for {dialogue[-1]['content']!r}")
    return frame


def _frame(tokenizer: Any) -> Frame:
    user = {"role": "user", "content": USER}
    talk = [user, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": MORE}]
    start, between, again, after = _cut(_render(tokenizer, talk), USER, ANSWER, MORE)
    _, _, closing = _cut(_render(tokenizer, talk[:2]), USER, ANSWER)
    before = _common_end(start, again)
    if not between.startswith(after) or not again.endswith(before):
        raise _refused("it does not write turns one after the other")
    if not again.removesuffix(before).startswith(closing) and not closing.startswith(again.removesuffix(before)):
        raise _refused("it ends an answer differently when that is the last message")
    around = {"user": (before, after), "assistant": (between.removeprefix(after), again.removesuffix(before))}
    first = start.removesuffix(before)
    prompted = _render(tokenizer, [user], prompt=True)
    plain = _render(tokenizer, [user])
    if not prompted.startswith(plain):
        raise _refused("it does not write the generation prompt at the end")
    system_start = first
    try:
        opening, middle, _ = _cut(_render(tokenizer, [{"role": "system", "content": SYSTEM}, user]), SYSTEM, USER)
    except ModelError:
        return Frame(first, system_start, around, prompted.removeprefix(plain))
    if not middle.endswith(before):
        raise _refused("it writes the system message into the user message")
    if opening.startswith(first):
        around["system"] = (opening.removeprefix(first), middle.removesuffix(before))
    else:  # the template has a system message of its own, for where none is given
        system_start = ""
        around["system"] = (opening, middle.removesuffix(before))
    return Frame(first, system_start, around, prompted.removeprefix(plain))


def _common_end(one: str, other: str) -> str:
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return one[len(one) - length :]


def _cut(text: str, *marks: str) -> list[str]:
    """`text` around the marks, each of which has to stand in it once, in this order."""
    parts = []
    for mark in marks:
        before, separator, text = text.partition(mark)
        if not separator or mark in text:
            raise _refused("it leaves a message out, or writes it twice")
        parts.append(before)
    return [*parts, text]


def _render(tokenizer: Any, messages: Dialogue, *, prompt: bool = False) -> str:
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt))
    except Exception as error:  # a template raises what it likes
        raise _refused(f"it rejects a message ({error})") from None


def _refused(why: str) -> ModelError:
    return ModelError(
        f"export ollama: the chat template cannot be expressed as an Ollama template: {why}; remove ollama from "
        f"export.formats, and use {PATHS.quantized('gguf-*')}, which holds the template as it is, with llama.cpp."
    )
