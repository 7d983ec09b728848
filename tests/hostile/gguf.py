"""GGUF files that lie, before `evaluate` loads them."""

import multiprocessing
import random
import shutil
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.hostile.fork import Case
from tests.hostile.models import stage
from tests.hostile.mutations import spoiled_bytes

FILE = "m/model.gguf"
_whole: list[bytes] = []


def prepare(project: Path) -> None:
    """A project whose evaluation asks a GGUF file, `m`, about two rows."""
    import tasks.evaluate.run
    from tasks.core.paths import Paths
    from tests.flows.project import ROOT
    from tests.tasks import tiny

    assert tasks.evaluate.run
    paths = tiny.project(project, method="none")
    tokenizer = tiny.tokenizer()
    tiny.model(paths.merged, vocabulary=len(tokenizer))
    tokenizer.save_pretrained(paths.merged)
    # apart, for a server of processes that is started here would not be the children's own
    written = multiprocessing.get_context("spawn").Process(target=_quantize, args=(project,))
    written.start()
    written.join()
    text = (ROOT / "params.yaml").read_text()
    for old, new in (("  models: {}", "  models: {x: m}"), ("  limit: null", "  limit: 2")):
        text = text.replace(old, new, 1)
    if "models: {x: m}" not in text:
        text = text.replace("\nevaluate:\n", "\nevaluate:\n  models: {x: m}\n", 1)
    if "limit: 2" not in text:
        text = text.replace("\nevaluate:\n", "\nevaluate:\n  limit: 2\n", 1)
    (project / "params.yaml").write_text(text)
    (project / "m").mkdir()
    exported = next(Paths(project).quantized("gguf-q8_0").glob("*.gguf"))
    _whole.append(exported.read_bytes())
    shutil.rmtree(project / "data/quantized")


def _quantize(project: Path) -> None:
    from tasks.core.paths import Paths
    from tasks.quantize import stage as quantize

    quantize.run(quantize.Settings(schemes=["gguf-q8_0"]), Paths(project), "gguf-q8_0")


@cache
def good() -> bytes:
    return _whole[0]


def case(name: str, content: bytes) -> Case:
    return Case(f"gguf {name}", lambda folder: (folder / FILE).write_bytes(content), stage("evaluate", "x"))


def number(key: str, value: int) -> bytes:
    """The file with another value (4 bytes) of a key of its head."""
    content = bytearray(good())
    struct.pack_into("<I", content, content.index(key.encode()) + len(key) + 4, value)
    return bytes(content)


def fixed() -> Iterator[Case]:
    """The inputs that are the same for every seed."""
    whole = good()
    yield case("good", whole)
    for name, content in {
        "empty": b"", "magic alone": whole[:4], "head cut off": whole[:200], "half": whole[: len(whole) // 2],
        "50 bytes less": whole[:-50], "random": random.Random(4).randbytes(5000),
        "big endian": whole[:4] + struct.pack(">I", 3) + whole[8:],
        "version 99": whole[:4] + struct.pack("<I", 99) + whole[8:],
        "many tensors": whole[:8] + struct.pack("<Q", 2**60) + whole[16:],
        "many keys": whole[:16] + struct.pack("<Q", 2**60) + whole[24:], "no key": whole[:16] + bytes(8) + whole[24:],
        "a long text": whole[:24] + struct.pack("<Q", 2**50) + whole[32:],
        "kind unknown": whole.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0evil!", 1),
    }.items():  # fmt: skip
        yield case(name, content)
    for key, values in {
        "llama.block_count": (0, 1, 3, 10**6), "llama.embedding_length": (0, 64, 10**9),
        "llama.attention.head_count": (0, 3),
        "llama.context_length": (0, 2**32 - 1), "llama.vocab_size": (0, 10**8), "llama.feed_forward_length": (0, 10**9),
        "tokenizer.ggml.eos_token_id": (10**6, 2**32 - 1),
    }.items():  # fmt: skip
        for value in values:
            if key.encode() in whole:
                yield case(f"{key} = {value}", number(key, value))


def drawn(draw: random.Random) -> Iterator[Case]:
    """Inputs without end, by a seed; mostly in the head, where all numbers are."""
    head = 12_000
    while True:
        whole = good()
        what, content = spoiled_bytes(draw, whole[:head])
        yield case(what, content + whole[head:])
