"""Classes in the report: sentences, a line each, and the picture of the answers."""

import json
import re
import shutil

from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.report.settings import Settings
from tasks.report.stage import run
from tests.tasks import tiny
from tests.tasks.report.finished_run import EVIL, SCHEMES, outline, page


def test_classes_have_their_section(project: Paths) -> None:
    """Sentences at the head, each class, and a picture of the answers; names of classes are escaped."""
    truth = ["often"] * 20 + [EVIL] * 4
    write_json(
        project.merged / "merge.json", {**tiny.read(project.merged / "merge.json"), "classes": ["often", EVIL, "x"]}
    )
    for candidate in ("base", "base_system", "base_few_shot", "adapter", "merged", *SCHEMES):
        shutil.rmtree(project.evaluation(candidate))
        answers: list[str | None] = ["often"] * 23 + [None] if candidate == "merged" else [None] * 24
        tiny.evaluation(project, candidate, {}, [str(answer) for answer in answers], (truth, answers))
    tiny.decided(project)
    run(Settings(), project)
    text = page(project)
    outline(text)
    assert text.count("1 of 2 classes is at 0.00: ") == 2, "at the head, and in the section"
    assert text.count(" are confused most: 3 of their 24 rows.") == 2
    assert text.count("No test row has the class x, of 3 that are learned: nothing is known of how well it is") == 2
    assert EVIL not in text
    assert text.count('class="cell right"') == 1 and text.count('class="cell wrong"') == 2
    (section,) = re.findall(r"<h3>Classes</h3>.*?<h3>Decision</h3>", text, re.DOTALL)
    assert "often, answered often: 20 of 20" in section
    assert "(1 of 24; the base 24)" in section
    assert "macro F1" in text and "accuracy" in text


def test_lists_of_classes_have_a_line_for_each_class(project: Paths) -> None:
    truth = ['["often"]'] * 20 + [json.dumps(["often", EVIL])] * 4
    for candidate in ("base", "base_system", "base_few_shot", "adapter", "merged", *SCHEMES):
        shutil.rmtree(project.evaluation(candidate))
        answers: list[str | None] = ['["often"]'] * 23 + [None] if candidate == "merged" else [None] * 24
        tiny.evaluation(project, candidate, {}, [str(one) for one in answers], (truth, answers), lists=True)
    tiny.decided(project)
    run(Settings(), project)
    text = page(project)
    outline(text)
    assert EVIL not in text
    (section,) = re.findall(r"<h3>Classes</h3>.*?<h3>Decision</h3>", text, re.DOTALL)
    assert " is missed most: 4 of 4 rows that have it." in section
    assert re.search(r'<td>often</td><td class="n">24</td><td class="n strong">0.98</td>', section)
    assert "(1 of 24; the base 24)" in section
    assert "<figure>" not in section
    assert "macro F1" in text and "micro F1" in text and "subset accuracy" in text
    assert "Naming every class for every row reaches 64.3 % in macro F1" in text  # (1 + 2 * 4 / 28) / 2


def test_many_classes_are_drawn_small_and_their_names_can_be_read() -> None:
    from tasks.charts.matrix import LEFT, matrix

    names = [f"class {at}" for at in range(74)]
    names += [
        "balance_not_updated_after_bank_transfer",
        "balance_not_updated_after_cash_deposit",
        "残高が更新されない" * 4,
    ]
    picture = matrix(names, {(at, at): 3 for at in range(77)} | {(0, 77): 1}, "no class", "Rows")
    right = max(float(x) + float(w) for x, w in re.findall(r'x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', picture.body))
    assert right <= picture.width == 760
    assert "class 0, answered no class: 1 of 4" in picture.body
    sizes = re.findall(r'font-size="([\d.]+)" text-anchor="end">([^<]*) · \d+<', picture.body)
    assert {size for size, _ in sizes} == {"11.0"}
    shown = [name for _, name in sizes]
    assert shown[74:76] == ["balance_not_…ank_transfer", "balance_not_…cash_deposit"], "which begin alike"
    assert shown[76] == "残高が更新さ…更新されない"
    assert max(len(name.encode("utf-16")) for name in shown) < 60 and LEFT > 26 * 7
