"""What the report tells of `align`: curves, episodes, pairs, and what it changed."""

import re
import shutil

from tasks.core.files import read_json, write_json, write_text
from tasks.core.paths import Paths
from tasks.report.settings import Settings
from tasks.report.stage import run
from tests.tasks import tiny
from tests.tasks.report.finished_run import evaluation, outline, page


def test_alignment_is_told_by_its_reward_also_where_no_loss_is_above_zero(project: Paths) -> None:
    shutil.copytree(project.fitted, project.aligned)
    write_json(project.aligned / "settings.json", {"objective": "grpo", "start": "train", "beta": 0.125})
    training = read_json(project.aligned / "training.json", "align")
    del training["supervised_tokens"], training["tokens"]  # its answers are not known beforehand
    write_json(project.aligned / "training.json", {**training, "objective": "grpo"})
    head = "step,loss,learning_rate,grad_norm,eval_loss"
    write_text(
        project.aligned / "loss.csv",
        f"{head},reward,reward_0_a,kl\n10,-0.5,0.1,1,,-1.0,2.0,0.0\n20,0.0,0.1,1,,0.5,3.0,0.25\n",
    )
    run(Settings(), project)
    outline(page(project))
    for heading in ("Reward, alignment", "Loss, tuning", "Reward: 0 a", "Divergence from the reference"):
        assert f"<h3>{heading}</h3>" in page(project)
    assert 'aria-label="Reward over training steps"' in page(project)
    assert "on 20 rows (140 trained tokens, 50 steps), then on 20 rows (50 steps of grpo)." in page(project)
    assert "0.125" in page(project)
    write_text(project.aligned / "loss.csv", f"{head}\n10,-0.5,0.1,1,\n20,0.0,0.1,1,\n")
    run(Settings(), project)
    assert "<h3>Loss, alignment</h3>" in page(project)
    assert "Divergence from the reference" not in page(project)


def test_episodes_are_a_sentence_and_a_table(project: Paths) -> None:
    shutil.copytree(project.fitted, project.aligned)
    write_json(project.aligned / "settings.json", {"objective": "grpo"})
    part = {
        "episodes": 4, "reward": 0.125, "rewards": {"0_environment": 0.25, "1_pattern": 0.5}, "turns": 1.75, "calls": 9,
        "failed_calls": 2, "tokens": 40.5, "ends": {"over": 3, "turns": 1},
    }  # fmt: skip
    parts = [{"name": "held out, before", **part}, {"name": "steps 1 to 9", **part}]
    write_json(
        project.aligned / "episodes.json",
        {"ends": {"over": tiny.EVIL, "length": "not seen"}, "parts": [*parts, {**parts[0], "name": "held out, after"}]},
    )
    run(Settings(), project)
    outline(page(project))
    text = page(project)
    assert "On 4 held-out rows, with greedy decoding, the mean reward of an episode was 0.125" in text
    assert "0.125 after the last one." in text, "a ledger that tells no change"
    assert "over 3, turns 1" in text
    assert "1 pattern" in text
    assert "<script>alert(1)" not in text and "not seen" not in text
    change = {"difference": 0.25, "low": -0.1, "high": 0.6, "p": 0.25, "wins": 2, "losses": 1, "ties": 1}
    both = {"ends": {}, "parts": [parts[0], {**parts[0], "name": "held out, after"}]}
    write_json(project.aligned / "episodes.json", {**both, "change": change})
    run(Settings(), project)
    assert (
        "after the last one: +0.25 (95 % interval -0.1 to 0.6, p = 0.2500). The model did better on 2 rows, worse on "
        "1 row, and as well on 1 row. The interval holds 0, so this may be chance."
    ) in page(project)
    write_json(project.aligned / "episodes.json", {**both, "change": {**change, "low": 0.1}})
    run(Settings(), project)
    assert "as well on 1 row.</p>" in page(project)
    write_json(project.aligned / "episodes.json", {"ends": {}, "parts": parts[1:]})
    run(Settings(), project)
    assert "was 0.125 in steps 1 to 9 and 0.125 in steps 1 to 9; no rows were held out." in page(project)
    (project.aligned / "episodes.json").unlink()
    run(Settings(), project)
    assert "<h3>Episodes</h3>" not in page(project)


def test_pairs_are_told_apart_by_margin_and_accuracy_and_a_loss_above_the_start_is_told(project: Paths) -> None:
    shutil.copytree(project.fitted, project.aligned)
    write_json(project.aligned / "settings.json", {"objective": "dpo", "start": "train", "arguments": {}})
    head = "step,loss,learning_rate,grad_norm,eval_loss,margin,accuracy,eval_margin,eval_accuracy"
    head += ",eval_chosen_reward,eval_rejected_reward"
    rows = "10,0.69,0.1,1,,0.0,0.5,,,,\n20,0.95,0.1,1,0.9,0.25,0.75,0.125,0.625,-0.5,-0.625\n"
    write_text(project.aligned / "loss.csv", f"{head}\n{rows}")
    run(Settings(), project)
    text = " ".join(page(project).split())
    assert 'aria-label="Share of pairs ranked correctly over training steps"' in text
    assert (
        "margin 0.25, accuracy 0.75, held-out chosen reward -0.5, held-out rejected reward -0.625, held-out margin"
        in text
    )
    assert 'aria-label="Rewards of chosen and rejected answers on held-out pairs"' in text
    assert "held-out accuracy 0.625; rewards and" in text, "an audit that tells no number of pairs"
    audit = read_json(project.audit, "template")
    audit["splits"]["validation"]["preferences"] = {"pairs": 1}
    write_json(project.audit, audit)
    run(Settings(), project)
    assert "held-out accuracy 0.625; held-out values are of 1 pair; rewards and" in " ".join(page(project).split())
    assert "ended at 0.82, above ln 2" in text
    for other in ({"loss_type": "robust", "label_smoothing": 0.1}, {"loss_weights": [1.0]}, {"loss_type": "ipo"}):
        write_json(project.aligned / "settings.json", {"objective": "dpo", "start": "train", "arguments": other})
        run(Settings(), project)
        assert "above ln 2" not in page(project), "another loss begins elsewhere"
    write_json(project.aligned / "settings.json", {"objective": "dpo", "start": "train", "arguments": {}})
    write_text(project.aligned / "loss.csv", f"{head}\n{rows.replace('0.95', '0.4')}")
    run(Settings(), project)
    assert "above ln 2" not in page(project)


def test_what_train_made_stands_beside_what_align_made_of_it(project: Paths) -> None:
    write_json(project.evaluation("trained") / "settings.json", {})  # what the stage leaves where align is off
    run(Settings(), project)
    assert "before align" not in page(project) and "Alignment changed" not in page(project)
    shutil.rmtree(project.evaluation("trained"))
    evaluation(project, "trained", 3)
    tiny.decided(project)
    run(Settings(), project)
    for text in (" ".join(page(project).split()), project.card.read_text()):
        assert "Alignment changed exact match from 37.5 % to 87.5 %, which may be chance." in text
        assert "for information only: the model after align against the one after train, +0.5 in exact match" in text
    assert "| adapter | trained | exact match | +0.5 |" in project.card.read_text()
    order = re.findall(r"<tr><td><code>(\w+)</code></td><td class=\"n strong\">", page(project))
    assert order[:6] == ["base", "base_system", "base_few_shot", "trained", "adapter", "merged"]
