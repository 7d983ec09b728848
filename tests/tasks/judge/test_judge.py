"""Judging: each pair in both orders, a leaning judge is seen to lean, nothing is paid twice, nonsense is bounded."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks.core.errors import InputError, SettingsError
from tasks.core.paths import Paths
from tasks.judge import stage as judge
from tasks.judge.pairs import Pair, combine_verdicts, parse_verdict
from tests.tasks import tiny
from tests.tasks.teacher_server import Asked, teacher_server

ROWS = 12


@pytest.fixture
def run(tmp_path: Path) -> Paths:
    """Twelve rows: the tuned model right in the first nine and as long as it should be, the base right in the last
    two, and one row on which both say the same."""
    paths = Paths(tmp_path)
    chats = [tiny.conversations()[24 + number % 8] for number in range(ROWS)]
    right = [chat[-1]["content"] for chat in chats]
    merged = [*right[:9], "docker", "docker", right[11]]
    base = [*["no"] * 9, right[9], right[10], right[11]]
    for name, outputs in (("merged", merged), ("base", base)):
        hits = [float(one == two) for one, two in zip(outputs, right, strict=True)]
        tiny.evaluation(paths, name, {"exact_match": hits}, outputs)
    table = tiny.rows("test", chats)
    ids = pa.array([f"row{number}" for number in range(ROWS)])
    paths.clean.mkdir(parents=True)
    pq.write_table(table.set_column(0, "id", ids), paths.clean / "test.parquet")
    return paths


def settings(base_url: str, **more: Any) -> judge.Settings:
    teacher = {"kind": "openai", "base_url": base_url, "model": "judge", "max_retries": 0, "max_new_tokens": 64}
    return judge.Settings.model_validate({"candidates": ["merged"], "teacher": teacher, **more})


def parts(asked: Asked) -> dict[str, str]:
    return dict(re.findall(r"<(.+?)>\n(.*?)\n</\1>", asked.text, re.DOTALL))


def fair(asked: Asked) -> str:
    """Names the answer that is the reference."""
    shown = parts(asked)
    one, two = (shown[f"Answer {letter}"] == shown["Reference answer"] for letter in "AB")
    return f"I weighed [[A]] and [[B]].\n[[{'C' if one == two else 'A' if one else 'B'}]]"


def judged(paths: Paths, script: Callable[[Asked], Any], **more: Any) -> tuple[dict[str, Any], int]:
    """judged.json, and how many requests it took."""
    with teacher_server(script) as server:
        judge.run(settings(server.base_url, **more), paths, "merged")
        return tiny.read(paths.judged("merged") / "judged.json"), len(server.asked)


def test_a_fair_judge_sees_what_the_metric_sees(run: Paths) -> None:
    result, requests = judged(run, fair)
    assert requests == 20, "equal answers are not asked about, and of eleven pairs the one that comes twice once"
    assert (result["wins"], result["losses"], result["ties"], result["same_answers"]) == (9, 2, 1, 1)
    assert result["value"] == round((9 + 0.5) / 12, 4)
    assert result["low"] < result["value"] < result["high"]
    assert result["p"] == pytest.approx(0.06543, abs=1e-4), "9 against 2, exactly"
    assert result["same_verdict"]["value"] == 1.0
    assert result["first_position"]["value"] == 0.5
    assert result["bias_p"] == 1.0
    assert (result["agrees"]["exact_match"]["value"], result["agrees"]["exact_match"]["n"]) == (1.0, 11)
    rows = pq.read_table(run.judged("merged") / "judgements.parquet").to_pylist()
    assert [row["verdict"] for row in rows] == ["win"] * 9 + ["loss"] * 2 + ["tie"]
    assert "[[A]]" in rows[0]["said_first"]


def test_a_judge_that_prefers_what_stands_first_decides_nothing(run: Paths) -> None:
    result, _ = judged(run, lambda asked: "[[A]]")
    assert (result["wins"], result["losses"], result["ties"]) == (0, 0, 12)
    assert result["first_position"]["value"] == 1.0
    assert result["same_verdict"]["value"] == 0.0
    assert result["bias_p"] < 0.01
    assert result["agrees"]["exact_match"] is None


def test_a_judge_that_prefers_what_is_long_is_seen_to(run: Paths) -> None:
    result, _ = judged(
        run, lambda asked: "[[A]]" if len(parts(asked)["Answer A"]) > len(parts(asked)["Answer B"]) else "[[B]]"
    )
    assert result["longer"]["value"] == 1.0


def test_what_was_paid_for_is_not_asked_again(run: Paths) -> None:
    result, _ = judged(run, fair)
    before = {file.name: file.read_bytes() for file in run.judged("merged").iterdir()}
    again, requests = judged(run, lambda asked: 500)
    assert requests == 0
    assert again == result
    same = {file.name: file.read_bytes() for file in run.judged("merged").iterdir()}
    assert {**same, "settings.json": b""} == {**before, "settings.json": b""}, "but for the server's address"
    _, requests = judged(run, fair, criteria="Shorter is better.")
    assert requests == 20, "another question is asked anew"


def test_a_judge_that_answers_nonsense(run: Paths) -> None:
    def nonsense(asked: Asked) -> str:
        return "Both are lovely." if "front" in asked.text else fair(asked)

    with pytest.raises(InputError, match=r"of 12 rows have no clear verdict.*max_unclear = 0.05.*Both are lovely"):
        judged(run, nonsense, max_unclear=0.05)
    assert not run.judged("merged").exists()
    assert len(run.judgements("merged").read_text().splitlines()) == 20, "what was paid for is kept"
    result, requests = judged(run, nonsense, max_unclear=0.5)
    assert requests == 0
    assert result["unclear"] > 0
    assert result["n"] == 12 - result["unclear"]


def test_a_judge_that_goes_away_loses_nothing(run: Paths) -> None:
    with (
        pytest.raises(InputError, match=r"judge\.teacher: .*Responses so far are kept"),
        teacher_server(fair) as server,
    ):
        server.script = lambda asked: fair(asked) if asked.number < 10 else 402
        chosen = settings(server.base_url)
        assert chosen.teacher is not None
        teacher = chosen.teacher.model_copy(update={"concurrency": 1})
        judge.run(chosen.model_copy(update={"teacher": teacher}), run, "merged")
    assert sum('"response"' in line for line in run.judgements("merged").read_text().splitlines()) == 10
    _, requests = judged(run, fair)
    assert requests == 10


def test_a_wrong_key_and_a_spent_budget_are_one_sentence(run: Paths) -> None:
    with pytest.raises(InputError, match="rejects"):
        judged(run, lambda asked: 401)
    with pytest.raises(InputError, match=r"budget \(judge.budget\) is used up"):
        judged(run, fair, budget={"max_tokens": 400})


def test_settings_that_contradict_themselves() -> None:
    for values, message in (
        ({"candidates": ["merged"]}, "needs judge.teacher"),
        ({"candidates": ["base"], "teacher": {"kind": "local", "model": "m"}}, "is among judge.candidates"),
        ({"candidates": ["a", "a"], "teacher": {"kind": "local", "model": "m"}}, "more than once"),
    ):
        with pytest.raises(ValidationError, match=message):
            judge.Settings.model_validate(values)
    with pytest.raises(SettingsError, match=r"not in judge\.candidates"):
        judge.run(judge.Settings(), Paths(Path()), "merged")


def test_reading_a_verdict() -> None:
    assert parse_verdict("so [[B]] it is\n[[A]]", swapped=False) == "win", "the last one counts"
    assert parse_verdict("[[A]]", swapped=True) == "loss"
    assert parse_verdict("[[ c ]]", swapped=True) == "tie"
    assert parse_verdict("A is better", swapped=False) is None
    assert combine_verdicts("win", "loss") == "tie"
    assert combine_verdicts("win", None) is None
    chat = Pair("x", "Do it", "ref", "mine", "").prompt("Be fair.", reference=False, swapped=True)
    assert "<Answer A>\n(empty)\n</Answer A>\n\n<Answer B>\nmine" in chat[1]["content"]
    assert "ref" not in chat[1]["content"]
    assert "Be fair." in chat[0]["content"]


def test_the_rule_of_the_decision(run: Paths) -> None:
    tiny.ledgers(run)
    table = pq.read_table(run.evaluation("base") / "predictions.parquet")
    for name in ("base_system", "base_few_shot", "adapter"):
        tiny.evaluation(run, name, {"exact_match": table["exact_match"].to_pylist()}, table["output"].to_pylist())
    judged(run, fair)
    assert tiny.decided(run)["rules"]["judged"]["passed"] is None
    assert tiny.decided(run, judged=0.7)["rules"]["judged"]["passed"] is True
    failed = tiny.decided(run, judged=0.9)
    assert failed["rules"]["judged"]["passed"] is False
    assert failed["rules"]["judged"]["says"].endswith("wanted: 0.9, 0.1083 more")
