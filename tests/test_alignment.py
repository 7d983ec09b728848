"""The commands of docs/tuning.md: a reward model, and what learns from it; then what that took is told."""

import json
import re
from typing import Any

import pytest

from benchmarks.checkout import HERE, checkout
from flows.params.model import change
from tests.test_chain import installed, said_by

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

SMALL = (
    "generate.recipe=none", "clean.input=data/own", "clean.test_share=0.1", "clean.max_loss=1.0", "clean.passage=null",
    "clean.near_duplicate=null", "quantize.schemes=[]", "evaluate.limit=4", "evaluate.max_new_tokens=8",
    "align.steps=6", "align.threads=1", "align.answer_tokens=8", "align.warmup_steps=1",
)  # fmt: skip


def test_a_reward_model_and_what_learns_from_it() -> None:
    text = (HERE / "docs/tuning.md").read_text()
    block = re.search(r"```bash\n(temper run --set align\.objective=reward\n.*?)```", text, re.DOTALL)
    assert block
    with checkout(full=False) as place:
        installed(place)
        rows: list[dict[str, Any]] = []
        for number in range(40):
            asked = {"role": "user", "content": f"Show the last {number} lines that container web{number} wrote"}
            right, wrong = f"docker logs -n {number} web{number}", f"docker rm web{number}"
            rows.append({"messages": [asked, {"role": "assistant", "content": right}]})
            rows.append({"prompt": [asked], "chosen": right, "rejected": wrong})
        (place.root / "data" / "own").mkdir()
        (place.root / "data" / "own" / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        change(list(SMALL), path=place.root / "params.yaml")
        for command in block[1].splitlines():
            said_by(place, command)
        aligned = place.root / "data" / "aligned"
        assert json.loads((aligned / "training.json").read_text())["objective"] == "rloo"
        assert (aligned / "adapter_model.safetensors").is_file()
        assert "reward" in (aligned / "loss.csv").read_text().splitlines()[0]
        report = (place.root / "data" / "report" / "report.html").read_text()
        assert "<h3>Reward, alignment</h3>" in report
        output = said_by(place, "temper check --time")
        assert re.search(r"time: train about \d+ (s|min), .* on this machine; align about \d+ (s|min), as", output)
