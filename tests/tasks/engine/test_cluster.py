"""Work on two nodes of a Ray cluster: what comes out does not tell, and a node that dies costs its items only."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.clean import stage as clean
from tasks.core.errors import InputError
from tasks.core.paths import Paths
from tasks.engine.cluster import Cluster
from tasks.evaluate import stage as evaluate
from tasks.generate.recipes import documents
from tasks.generate.settings import Settings
from tasks.template import stage as template
from tests.flows.project import until
from tests.tasks import tiny
from tests.tasks.engine.test_local import many_rows
from tests.tasks.tiny import contents

ray: Any = pytest.importorskip("ray")


def located(number: int) -> tuple[int, str, str]:
    """A number with the node that saw it, and the seed of hashes there."""
    return number, ray.get_runtime_context().get_node_id(), os.environ["PYTHONHASHSEED"]


def failing(number: int) -> int:
    if number >= 7:
        raise InputError(f"row {number} is odd.")
    return number


class Kill:
    """Work that kills its node in its midst, once, unless that is the node at which the test itself is.

    There it waits for that, or it would do all itself where the other node is slow to begin.
    """

    def __init__(self, mark: Path, spared: str) -> None:
        self.mark, self.spared = mark, spared

    def __call__(self, number: int) -> int:
        if number >= 9 and not self.mark.exists():
            if ray.get_runtime_context().get_node_id() == self.spared:
                until(self.mark.exists)
            else:
                self.mark.touch()
                os.kill(os.getppid(), signal.SIGKILL)  # the node's own process, whose workers end with it
        return number * number


def test_what_comes_out_is_in_the_order_of_what_went_in(engine: Cluster) -> None:
    assert engine.places == 2
    results = list(engine.ordered(located, range(40)))
    assert [number for number, _, _ in results] == list(range(40))
    assert len({node for _, node, _ in results}) == 2
    assert {seed for _, _, seed in results} == {"0"}
    seen = []
    with pytest.raises(InputError, match=r"^row 7 is odd\.$"):
        for number in engine.ordered(failing, range(40)):
            seen.append(number)
    assert seen == list(range(7))


def test_any_number_of_items_may_be_waited_for_at_once(engine: Cluster) -> None:
    """One that asks for more cores than any node has takes a whole node, and does not wait for ever."""

    async def all_of_them() -> list[tuple[int, str, str]]:
        return await asyncio.gather(*(engine.awaited(located, number, cores=1 + number % 9) for number in range(40)))

    results = asyncio.run(all_of_them())
    assert [number for number, _, _ in results] == list(range(40))
    with pytest.raises(InputError, match=r"^row 7 is odd\.$"):
        asyncio.run(engine.awaited(failing, 7))


def put_rows(paths: Paths) -> None:
    """Rows of many shapes and kinds of files, copies and faults among them: several pieces of work."""
    folder = paths.root / "input"
    texts = [" ".join(f"word{number * place * 7919 % 5003}" for place in range(1, 13)) for number in range(1, 551)]
    texts += texts[:50]  # copies
    texts += [f"{text} also" for text in texts[100:150]]  # near-duplicates
    texts += [" ".join([f"new{number}", *texts[2].split()[:9], f"end{number}"]) for number in range(50)]  # passages
    lines = []
    for number, text in enumerate(texts):
        turns = [{"role": "user", "content": text}, {"role": "assistant", "content": f"answer {number % 550}"}]
        split = {"split": "test"} if number < 9 else {}
        lines.append(json.dumps({"messages": turns, f"extra{number % 300}": 1, **split}))
    deep = '{"prompt": "a", "completion": "b", "n": ' + "[" * 950 + "]" * 950 + "}"
    lines += ["{broken", "", '{"text": "call me at +49 30 901820 or mail a.b@example.org, thanks"}', deep, "\xff"]
    (folder / "a.jsonl").write_bytes("\n".join(lines).encode("latin-1", "replace") + b"\n")
    rows = [{"instruction": f"say {number}", "output": f"{number} it is"} for number in range(300)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "b.parquet")
    (folder / "c.csv").write_text("prompt,completion\n" + "".join(f"ask {n},told {n}\n" for n in range(300)))
    nested: Any = "x"
    for _ in range(400):
        nested = [nested]
    items = [{"prompt": f"p {number}", "completion": "c"} for number in range(40)]
    (folder / "d.json").write_text(json.dumps([*items, {"prompt": "q", "completion": "d", "more": nested}]))


def test_clean(same: Any, paths: Paths) -> None:
    put_rows(paths)
    settings = clean.Settings(input="input", max_loss=1, near_duplicates_within=0.8, near_duplicate=0.95, passage=8)

    def made() -> dict[str, bytes]:
        clean.run(settings, paths)
        return contents(paths.clean)

    reasons = set(json.loads(same(paths, made)["ledger.json"])["left"])
    assert reasons >= {"duplicate", "near_duplicate", "passage_of_test", "parse_error", "too_deep", "bad_encoding"}


@pytest.mark.long
def test_template(same: Any, tmp_path: Path) -> None:
    paths = many_rows(tiny.project(tmp_path, method="none"))

    def made() -> dict[str, bytes]:
        template.run(template.Settings(max_length=100, over_length="drop", max_loss=1), paths)
        return contents(paths.templated)

    assert b"quoted" in same(paths, made)["audit.json"]


@pytest.mark.long
def test_documents(same: Any, paths: Paths) -> None:
    folder = paths.root / "input"
    for number in range(6):
        (folder / f"{number}.md").write_text(f"# Part {number}\n\n{'some words ' * 200}\n\n## More\n\nand {number}\n")
    (folder / "empty.html").write_text("<html></html>")
    teacher = {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    settings = Settings.model_validate({"recipe": "documents", "input": "input", "teacher": teacher})
    chunks = same(paths, lambda: list(documents.order(settings, paths)))
    assert len({chunk["source"] for chunk in chunks}) == len(chunks) > 6
    (folder / "3.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"input/3\.md"):
        list(documents.order(settings, paths))


@pytest.mark.long
def test_evaluate(same: Any, tmp_path: Path) -> None:
    """Answers, and likelihoods, of a base with an adapter, whose files are sent."""
    paths = tiny.project(tmp_path)
    metrics = [{"kind": "exact_match"}, {"kind": "perplexity"}]
    settings = evaluate.Settings.model_validate({"max_new_tokens": 12, "batch_size": 1, "metrics": metrics})

    def made() -> dict[str, bytes]:
        evaluate.run(settings, paths, "adapter")
        return contents(paths.evaluation("adapter"))

    assert "perplexity" in json.loads(same(paths, made)["scores.json"])["metrics"]


def test_a_node_that_dies_costs_what_it_was_working_on(engine: Cluster, tmp_path: Path) -> None:
    work = Kill(tmp_path / "killed", ray.get_runtime_context().get_node_id())
    assert list(engine.ordered(work, range(60))) == [number * number for number in range(60)]
    assert (tmp_path / "killed").exists()
