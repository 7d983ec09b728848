"""Answers that a person marked, as rows for the next run: `clean.input` reads each of the files.

    data/collected/sft.jsonl      good answers, to learn from
    data/collected/kto.jsonl      good and bad answers with their label, for align.objective: kto
    data/collected/pairs.jsonl    of two answers to one question the better and the worse, for dpo and its kind

Each row says where it comes from. Turns of the model before the marked one are context, and not trained.
"""

import getpass
import json
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.core.errors import InputError, MachineError, advice
from tasks.core.numbers import counted
from tasks.core.paths import Paths
from tasks.serve.models import Model

VERDICTS = ("good", "bad", "better")

SFT, KTO, PAIRS = "sft.jsonl", "kto.jsonl", "pairs.jsonl"

Row = dict[str, Any]


class Collector:
    """Writes what is marked into `data/collected`."""

    def __init__(self, paths: Paths, models: list[Model], system: str = "") -> None:
        """`system` is the system prompt of a dialogue without one."""
        self._folder, self._root, self._system = paths.collected, paths.root, system
        self._models = {model.name: model for model in models}
        self._guard = threading.Lock()
        self.answers = 0
        """Answers that were marked."""
        self.rows = 0
        """Rows that were written for them."""

    def save(self, marked: Row) -> list[str]:
        """Write the rows of one marked answer; return the files that have one more.

            collector.save({"verdict": "good", "model": "merged", "answer": "docker ps",
                            "messages": [{"role": "user", "content": "what runs?"}], "sampling": {"temperature": 0}})

        For `better`, `rejected` has the `model` and the `answer` that was worse. Raises `InputError`, and
        `MachineError` where nothing can be written.
        """
        verdict, before = marked.get("verdict"), self._before(marked)
        answer = self._answer(marked)
        if verdict not in VERDICTS:
            raise InputError(f"verdict = {verdict!r}; known: {', '.join(VERDICTS)}.")
        tools = {"tools": marked["tools"]} if marked.get("tools") else {}
        rows: dict[str, Row]
        if verdict == "better":
            worse = marked.get("rejected")
            if not isinstance(worse, dict):
                raise InputError("`better` needs `rejected`: the other model and its worse answer.")
            rejected = self._answer(worse)
            if rejected == answer:
                raise InputError("both answers are the same, so none is better.")
            rows = {PAIRS: {"prompt": before, "chosen": [answer], "rejected": [rejected]}}
        else:
            good = verdict == "good"
            context = [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in before]
            rows = {KTO: {"prompt": before, "completion": [answer], "label": good}}
            rows |= {SFT: {"messages": [*context, answer]}} if good else {}
        provenance = self._provenance(marked, before)
        lines = {
            name: json.dumps({**row, **tools, "provenance": provenance}, ensure_ascii=False, allow_nan=False)
            for name, row in rows.items()
        }
        with self._guard:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                for name, line in lines.items():
                    with (self._folder / name).open("a", encoding="utf-8") as file:
                        file.write(f"{line}\n")
            except OSError as error:
                raise MachineError(f"the answer cannot be saved: {advice(error)}") from None
            self.answers += 1
            self.rows += len(lines)
        return [str(self._folder / name) for name in sorted(lines)]

    def tell(self) -> None:
        """Say where rows went, if any did."""
        if self.rows:
            print(
                f"{counted(self.answers, 'answers')} saved in {self._folder}, as {counted(self.rows, 'rows')}; to keep "
                f"them with DVC, run: temper data add {self._folder}",
                flush=True,
            )

    def _before(self, marked: Row) -> list[Row]:
        turns: list[Row] = marked["messages"] if isinstance(marked.get("messages"), list) else []
        if not turns or not all(map(_is_turn, turns)) or turns[-1]["role"] == "assistant":
            raise InputError("`messages` is not a dialogue that ends with a user message.")
        if self._system and turns[0]["role"] != "system":
            turns = [{"role": "system", "content": self._system}, *turns]
        return turns[1:] if turns[0] == {"role": "system", "content": ""} else turns  # the person took it out

    def _answer(self, marked: Row) -> Row:
        if marked.get("model") not in self._models:
            raise InputError(f"there is no model {marked.get('model')!r} here; there are {', '.join(self._models)}.")
        text, reasoning, calls = (marked.get(key) for key in ("answer", "reasoning", "tool_calls"))
        if not isinstance(text, str) or not (text.strip() or calls):
            raise InputError("the answer is empty, so it cannot be saved.")
        more = {"reasoning_content": reasoning} if reasoning else {}
        return {"role": "assistant", "content": text, **more, **({"tool_calls": calls} if calls else {})}

    def _provenance(self, marked: Row, before: list[Row]) -> Row:
        model = self._models[marked["model"]]
        rejected = marked.get("rejected")
        against = self._models[rejected["model"]] if rejected else None
        return {
            "candidate": model.name,
            "sha256": model.sha256,
            **({"rejected_candidate": against.name, "rejected_sha256": against.sha256} if against else {}),
            "commit": _commit(self._root),
            "system": next((turn["content"] for turn in before if turn["role"] == "system"), ""),
            "sampling": marked.get("sampling") or {},
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "marked_by": _user(),
        }


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)


def _commit(root: Path) -> str | None:
    """The commit that is checked out, whose dvc.lock says which model this is; None outside of git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"  # a user number without a name, as in containers
