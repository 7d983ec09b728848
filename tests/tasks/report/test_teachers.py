"""Teachers and judges in page and card: what they were asked, what it took, and their terms."""

import json
import shutil
from typing import Any

import pytest

from tasks.core.files import read_json, write_json
from tasks.core.paths import Paths
from tasks.report.settings import Settings
from tasks.report.stage import run
from tests.tasks.report.finished_run import EVIL, outline, page


def test_what_a_judge_said_is_told_in_page_and_card(project: Paths) -> None:
    run(Settings(), project)
    assert "<h3>Judged</h3>" in page(project)
    assert "62.5 %" in page(project), "two wins and a tie of four"
    assert "| merged | base | big | 62.5 % |" in (project.report / "model_card.md").read_text()
    assert "judge.against" in page(project)


def test_rows_of_a_teacher_are_told_with_what_they_took_and_its_terms(project: Paths) -> None:
    facts = json.loads((project.generated / "ledger.json").read_text())
    took = {"requests": 1187, "input_tokens": 1412634, "output_tokens": 56976, "cost": 1.25}
    spoken = {"mean_words": 9.5, "distinct_pairs": 0.875}
    varied = {
        "rows": 7,
        "questions": spoken,
        "answers": spoken,
        "commonest_opening": EVIL,
        "commonest_opening_share": 1.0,
    }
    terms = {"recipe": "documents", "teacher": "openai:m", "licence": "no | rival models", "diversity": varied}
    write_json(project.generated / "ledger.json", {**facts, **took, **terms})
    run(Settings(), project)
    outline(page(project))
    card = (project.report / "model_card.md").read_text()
    assert "| terms for its answers | no \\| rival models |" in card
    for number in ("1,187", "1,412,634", "56,976", "1.25", "87.5 %"):
        assert number in page(project)
        assert number in card
    assert EVIL not in page(project) + card


def test_a_distilled_model_has_the_settings_of_its_questions_and_no_code_that_is_missing(project: Paths) -> None:
    shutil.copytree(project.fitted, project.aligned)
    write_json(project.aligned / "settings.json", {"objective": "distill", "start": "base"})
    training = read_json(project.aligned / "training.json", "align")
    changes = {"arguments": {"max_steps": 7}, "peft": None}
    write_json(project.aligned / "training.json", {**training, "method": "full", "changes": changes})
    for split in ("train", "validation"):
        asked = {"teacher": {"kind": "openai", "model": "big"}, "top": 7, "form": "next_token"}
        write_json(project.distilled(split) / "settings.json", asked)
    run(Settings(), project)
    card = (project.report / "model_card.md").read_text()
    assert "| distill.form | next_token |\n" in card and "| distill.teacher.model | big |\n" in card
    assert "<code>distill.top</code>" in page(project)
    assert "The stage align has no equivalent: the objective distill" in card
    assert "Run this code" not in card


@pytest.mark.parametrize("kind", ["a server", "a folder"])
def test_the_teacher_whose_likelihoods_were_learned_is_named_with_its_terms(project: Paths, kind: str) -> None:
    facts: dict[str, Any] = {"from": kind, "teacher": "openai:<b>big</b>", "licence": "no | rival models"}
    asked = {"rows": 1187, "top": 20, "positions": 56977, "covered": 0.9985, "nats": 0.25, "left": {}}
    if kind == "a server":
        facts |= {**asked, "input_tokens": 1412634, "output_tokens": 1188, "cost": 1.25}
    record = project.trained / "training.json"
    write_json(record, {**json.loads(record.read_text()), "taught": facts})
    run(Settings(), project)
    outline(page(project))
    card = (project.report / "model_card.md").read_text()
    assert "### Teacher\n" in card
    assert "<h3>Teacher</h3>" in page(project)
    assert "| terms for what it says | no \\| rival models |" in card
    assert "<b>big" not in page(project) + card
    numbers = ("1,187", "56,977", "1,412,634", "1,188", "1.25", "99.9 %")
    assert all((number in text) == (kind == "a server") for number in numbers for text in (page(project), card))
