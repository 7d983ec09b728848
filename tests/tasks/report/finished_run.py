"""A finished run, written by hand, and how its page is read."""

from html.parser import HTMLParser
from pathlib import Path

from tasks.core.files import write_json, write_text
from tasks.core.paths import Paths
from tests.tasks import tiny

EVIL = tiny.EVIL
SCHEMES = ("nf4", "gguf-q8_0")
TEMPLATE = "{% for message in messages %}```{{ message['content'] }}<|end|>\n{% endfor %}\n"


def evaluation(paths: Paths, candidate: str, right: int, output: str = EVIL) -> None:
    """Predictions of `candidate` on the 8 test rows, the first `right` of them correct."""
    chats = tiny.conversations()[24:]
    hits = [number < right for number in range(len(chats))]
    outputs = [chat[-1]["content"] if hit else output for chat, hit in zip(chats, hits, strict=True)]
    tiny.evaluation(paths, candidate, {"exact_match": [float(hit) for hit in hits]}, outputs)


def finished(root: Path) -> Paths:
    """A finished run in `root`, written by hand: no model is needed to tell about it."""
    tiny.copied(root, "finished", lambda place: _finished(Paths(place)))
    return Paths(root)


def _finished(paths: Paths) -> None:
    write_json(
        paths.base / "base.json",
        {"kind": "trained", "location": "model", "revision": None, "files": {}, "sha256": "ab" * 32},
    )
    tiny.ledgers(paths)
    same = {"max_logit_difference": 2.384e-07, "kl_per_token": 0.0, "same_greedy_token": 1.0, "probes": 4, "tokens": 80}
    merge = {"method": "lora", "parameters": 98368, "arithmetic": "float32", "dtype": "float32", "tolerance": 0.001}
    write_json(paths.merged / "merge.json", {**merge, **same})
    write_json(paths.merged / "settings.json", {"probes": 16, "tolerance": 0.001})
    write_text(paths.merged / "chat_template.jinja", TEMPLATE)
    for scheme in SCHEMES:
        facts = {
            "scheme": scheme,
            "bytes": 120_000,
            "merged_bytes": 400_000,
            "ratio": 0.3,
            **same,
            "kl_per_token": 0.01,
            "same_token_ids": scheme == "nf4",
        }
        write_json(paths.quantized(scheme) / "quantization.json", facts)
        write_json(paths.quantized(scheme) / "settings.json", {"probes": 16})
    for candidate, right in (
        ("base", 0),
        ("base_system", 0),
        ("base_few_shot", 1),
        ("adapter", 7),
        ("merged", 7),
        ("nf4", 6),
        ("gguf-q8_0", 7),
    ):
        evaluation(paths, candidate, right)
    tiny.judged(paths, "merged")
    tiny.decided(paths)
    write_text(paths.root / "requirements.lock", "torch==2.13.0\npeft==0.21.2 \\\n    --hash=sha256:00\nzzz==1\n")


def page(paths: Paths) -> str:
    return (paths.report / "report.html").read_text()


class Outline(HTMLParser):
    """Tags and attributes of a page; complains where one is not closed."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"{tag} closes what is not open"


def outline(text: str) -> Outline:
    read = Outline()
    read.feed(text)
    assert read.open == []
    return read
