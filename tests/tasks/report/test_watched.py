"""Answers while a model was trained, as the report tells them: a line for as long as one stays, with its verdict."""

from pathlib import Path
from typing import Any

from tasks.core.files import write_json
from tasks.report.settings import Settings
from tasks.report.stage import run
from tasks.report.watched import SHOWN, Line, end_of, sections, thinned
from tests.tasks import tiny
from tests.tasks.report.finished_run import finished, outline, page


def noted(*answers: tuple[int, str]) -> dict[str, Any]:
    """What train leaves of one prompt, with its answers by step."""
    return {
        "prompts": [{"prompt": "user\nstop web\nassistant\n", "reference": "docker stop web"}],
        "steps": [{"step": step, "samples": [{"text": text, "ended": text != "do"}]} for step, text in answers],
    }


def test_an_answer_has_one_line_for_as_long_as_it_stays() -> None:
    samples = noted((0, "do"), (10, "docker start web"), (1020, "docker start web"), (1030, "docker stop web "))
    (section,) = sections({"train": samples, "align": {}})
    (prompt,) = section.prompts
    assert prompt.summary == "user stop web assistant"
    assert prompt.lines == [
        Line("step 0", ("", "do", ""), False, False),
        Line("steps 10 to 1,020", ("docker ", "start", " web"), False, True),
        Line("step 1,030", ("docker stop web", " ", ""), True, True),
    ]


def test_of_many_lines_the_first_and_the_last_are_among_those_shown() -> None:
    lines = thinned(list(range(1000)))
    assert (len(lines), lines[0], lines[-1]) == (SHOWN, 0, 999)
    assert thinned([1, 2]) == [1, 2]
    assert end_of("a " * 200).startswith("…") and len(end_of("a " * 200)) == 100


def test_the_page_tells_answers_and_rewards_by_component_and_runs_nothing(tmp_path: Path) -> None:
    paths = finished(tmp_path)
    write_json(paths.samples(paths.fitted), noted((0, tiny.EVIL)))
    samples = noted((0, "do"), (2, "docker stop web"))
    rewards = {"0_exact_match": {"value": 1.0, "weight": 1.0}, "1_pattern": {"value": 0.25, "weight": 0.5}}
    drawn = {"prompt": tiny.EVIL, "answer": tiny.EVIL, "reference": "docker stop web", "rewards": rewards}
    samples["steps"][1]["drawn"] = [drawn]
    write_json(paths.samples(paths.aligned), samples)
    run(Settings(), paths)
    text = page(paths)
    outline(text)
    assert "<h3>Answers during training: train</h3>" in text
    assert "<h3>Answers during training: align</h3>" in text
    assert '<th scope="col" class="n">exact match</th><th scope="col" class="n">pattern</th>' in text
    assert '<td class="n">1</td><td class="n">0.25</td><td class="n strong">1.125</td>' in text
    assert "<script>alert" not in text
