"""A Modelfile as Ollama's own parser reads it, written anew here after its rules (parser/parser.go): no escapes, quotes
that end with a line, and signs that cannot be printed are dropped."""

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.core.errors import ModelError
from tasks.export.ollama import modelfile, quoted
from tasks.export.settings import Settings

FRAME = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""


def unquoted(value: str) -> str | None:
    """What is between the quotes; None where they are not closed yet."""
    for quotes in ('"""', '"'):
        if value.startswith(quotes):
            closed = len(value) >= 2 * len(quotes) and value.endswith(quotes)
            return value[len(quotes) : -len(quotes)] if closed else None
    return value


def parsed(text: str) -> list[tuple[str, str]]:
    """Each command and its value; of a parameter its name."""
    commands, at = [], 0
    while at < len(text):
        word, _, rest = text[at:].partition(" ")
        at += len(word) + 1
        assert word in ("FROM", "TEMPLATE", "PARAMETER"), word
        if word == "PARAMETER":
            word = rest.partition(" ")[0]
            at += len(word) + 1
            assert word.replace("_", "a").isalnum()
        buffer = ""
        while at < len(text):
            sign = text[at]
            at += 1
            if sign == "\n" and (value := unquoted(buffer.strip())) is not None:
                commands.append((word, value))
                break
            buffer += sign if sign.isprintable() or sign in "\n\t" else ""
        else:
            raise AssertionError("a value without an end")
    return commands


@pytest.mark.parametrize(
    "stops",
    [
        ["<|im_end|>", "</s>"],
        ['"', '""', '"""', 'a "b" c'],
        ["\\", "\\n", "\n", "a\n\nb", "\t"],
        [" ", "  x "],
        ["终", "▁", "\uff5c"],
    ],
)
@pytest.mark.parametrize("template", [FRAME, "one line", 'He said "no".', '"""', '{{ .System }}\n\n"quoted"\n', " "])
def test_every_value_is_read_as_it_was_meant(stops: list[str], template: str) -> None:
    frame: Any = SimpleNamespace(go=lambda: template)
    settings = Settings(temperature=0.25)
    assert parsed(modelfile("model-q8_0.gguf", frame, stops, settings, 512)) == [
        ("FROM", "./model-q8_0.gguf"),
        ("TEMPLATE", template),
        ("num_ctx", "512"),
        *(("stop", stop) for stop in stops),
        ("temperature", "0.25"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\u00a0b", r"U\+00A0"),
        ("\u200b", r"U\+200B"),
        ("\x07", r"U\+0007"),
        ('a """\nb', "at the end of a line"),
        ('"""  \n', "at the end of a line"),
    ],
)
def test_what_a_modelfile_cannot_say_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        quoted(text)
