"""The report tells what is in data/, adds up, escapes everything, and is the same bytes every time."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError
from tasks.core.files import read_json, write_json, write_text
from tasks.core.paths import Paths
from tasks.report.render import diff_parts
from tasks.report.settings import Settings
from tasks.report.stage import run
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


@pytest.fixture
def project(tmp_path: Path) -> Paths:
    return finished(tmp_path)


def finished(root: Path) -> Paths:
    """A finished run in `root`, written by hand: no model is needed to tell about it."""

    paths = Paths(root)
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
    return paths


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


def test_comparison_has_every_candidate_in_order(project: Paths) -> None:
    run(Settings(), project)
    candidates = tiny.read(project.report / "comparison.json")["candidates"]
    assert set(candidates) == {"base", "base_system", "base_few_shot", "adapter", "merged", *SCHEMES}
    assert candidates["merged"]["exact_match"] == {
        "value": 0.875,
        "low": 0.5291,
        "high": 0.9776,
        "n": 8,
        "better": "higher",
    }
    assert candidates["merged"]["slices"]["new_phrasing"]["exact_match"]["n"] == 4


def test_page_is_one_whole_file_without_outside_resources(project: Paths) -> None:
    run(Settings(), project)
    text = page(project)
    read = outline(text)
    assert not read.tags & {"script", "link", "img", "iframe", "object"}
    assert {value for key, value in read.attributes if key in ("href", "src") and not str(value).startswith("#")} == {
        "predictions.html"
    }, "the files beside it"
    assert not re.search(r"https?://|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_user_data_is_escaped(project: Paths) -> None:
    run(Settings(title=EVIL), project)
    assert "<script" not in page(project)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page(project)
    front = (project.report / "model_card.md").read_text().split("---")[1]
    assert "alert" in front, "the title itself"


def test_what_was_found_in_rows_that_stayed_is_shown_with_its_place(project: Paths) -> None:
    run(Settings(), project)
    text = page(project)
    assert "Found and kept: 3 conflicting answers, 1 refusal." in text
    assert '<td>refusal</td><td class="n">1</td><td class="soft">rows.jsonl:9</td>' in text
    assert "<code>Sorry, I can&#39;t &lt;" in text


def test_summary_names_the_result_and_what_was_free(project: Paths) -> None:
    run(Settings(title="Docker assistant"), project)
    text = page(project)
    assert "<h1>Docker assistant</h1>" in text
    assert "LoRA fine-tuning (rank 4) of a base trained from scratch on 20 rows (140 trained tokens, 50 steps)." in text
    assert "answers 87.5 % of 8 held-out rows exactly" in text
    assert "52.9 % to 97.8 %); the base 0.0 %, 0.0 % with a system prompt, and 12.5 % with examples" in text
    assert "Every rule holds: the model is worth shipping." not in text, "a scheme loses 12.5 points"
    assert "nf4 loses 0.125 against merged" in text
    assert "Quantising costs at most 12.5 points (nf4)." in text


def test_a_gain_within_chance_is_called_so(project: Paths) -> None:
    shutil.rmtree(project.evaluation("base_few_shot"))
    evaluation(project, "base_few_shot", 6)
    tiny.decided(project)
    run(Settings(), project)
    assert "Not promoted: merged against base_few_shot: +0.125 " in page(project)
    assert "8 rows show a difference of" in page(project)


def test_ledger_adds_up_or_says_that_it_does_not(project: Paths) -> None:
    run(Settings(), project)
    assert page(project).count("adds up") == 6  # generate, clean, and rows and tokens of two templated splits
    ledger = tiny.read(project.clean / "ledger.json")
    write_json(project.clean / "ledger.json", {**ledger, "in": 40})
    run(Settings(), project)
    assert "4 unaccounted for" in page(project)
    write_json(project.clean / "ledger.json", {**ledger, "in": ledger["in"] - 4, "repeated": 4})
    run(Settings(), project)
    assert page(project).count("adds up") == 6
    assert "rows + 4 repeats</td>" in page(project)


def test_columns_that_were_not_read_are_told(project: Paths) -> None:
    ledger = tiny.read(project.clean / "ledger.json")
    about = {"rows": 36, "read": {"text": "text"}, "not_read": {"url": 36, tiny.EVIL: 2}}
    write_json(project.clean / "ledger.json", {**ledger, "columns": {"text": about}})
    run(Settings(), project)
    assert "36 rows of the shape text; read: text; not read: " in page(project)
    assert tiny.EVIL not in page(project)


def test_every_setting_and_version_is_told_in_page_and_card(project: Paths) -> None:
    run(Settings(), project)
    card = (project.report / "model_card.md").read_text()
    for key, value in (("train.lora.alpha", "8"), ("generate.seed", "7"), ("evaluate.max_new_tokens", "null")):
        assert re.search(rf"{re.escape(key)}</code></td><td>{value}<", page(project))
        assert f"| {key} | {value} |" in card
    assert "TrainingArguments.seed | 42" in card
    assert "torch 2.13.0, peft 0.21.2." in card


def test_samples_show_wrong_rows_first(project: Paths) -> None:
    run(Settings(samples=2), project)
    assert re.findall(r'class="id"><code>(row\d)', page(project)) == ["row7", "row6"]
    run(Settings(samples=0), project)
    assert "None shown" in page(project)


@pytest.mark.parametrize(
    ("reference", "output", "cut"),
    [
        ("docker stop db", "docker stop web", ("docker stop ", "web", "")),
        ("docker stop db", "docker rm db", ("docker ", "rm", " db")),
        ("same", "same", ("same", "", "")),
        ("run -d x", "run -d x x", ("run -d x", " x", "")),
        ("x", "", ("", "", "")),
    ],
)
def test_differences_are_cut_out(reference: str, output: str, cut: tuple[str, str, str]) -> None:
    assert diff_parts(reference, output) == cut
    assert "".join(cut) == output


def test_what_a_judge_said_is_told_in_page_and_card(project: Paths) -> None:
    run(Settings(), project)
    assert "<h3>Judged</h3>" in page(project)
    assert "62.5 %" in page(project), "two wins and a tie of four"
    assert "| merged | base | big | 62.5 % |" in (project.report / "model_card.md").read_text()
    assert "judge.against" in page(project)


def test_what_tuning_made_it_forget_is_shown(project: Paths) -> None:
    for candidate, right in (("base", 30), ("merged", 26)):
        tiny.benchmark(project, candidate, right)
    tiny.decided(project)
    run(Settings(), project)
    cells = re.findall(r"<tr><td>arc</td><td>acc</td>(.*?)</tr>", page(project))
    assert [re.findall(r">([^<>]+)</td>", row)[:3] for row in cells] == [["0.75", "0.65", "-0.1"]]
    outline(page(project))
    benchmarks = tiny.read(project.report / "comparison.json")["benchmarks"]
    assert {name: tasks["arc"]["acc"]["value"] for name, tasks in benchmarks.items()} == {"base": 0.75, "merged": 0.65}


def test_card_is_valid_for_the_hub(project: Paths) -> None:
    from huggingface_hub import ModelCard

    run(Settings(title="Docker assistant", licence="apache-2.0"), project)
    data: Any = ModelCard((project.report / "model_card.md").read_text()).data
    assert data.license == "apache-2.0"
    assert data.eval_results[0].metric_value == 0.875
    assert data.model_name == "Docker assistant"


def test_card_has_the_chat_template(project: Paths) -> None:
    run(Settings(), project)
    card = (project.report / "model_card.md").read_text()
    assert f"````jinja\n{TEMPLATE}````\n" in card, "in a fence that its own backticks do not end"
    (project.merged / "chat_template.jinja").unlink()
    write_json(project.merged / "tokenizer_config.json", {"chat_template": "{{ 'one line' }}"})
    run(Settings(), project)
    assert "```jinja\n{{ 'one line' }}\n```\n" in (project.report / "model_card.md").read_text()


def test_same_bytes_twice(project: Paths) -> None:
    run(Settings(), project)
    before = {file.name: file.read_bytes() for file in project.report.iterdir()}
    run(Settings(), project)
    assert {file.name: file.read_bytes() for file in project.report.iterdir()} == before
    assert str(project.root).encode() not in b"".join(before.values())


def test_own_data_no_quantising_no_validation(project: Paths) -> None:
    """recipe: none, schemes: [], a hub base, and a loss curve without validation."""
    for scheme in SCHEMES:
        shutil.rmtree(project.quantized(scheme))
        shutil.rmtree(project.evaluation(scheme))
    tiny.decided(project)
    write_json(project.generated / "ledger.json", {"unit": "rows", "in": 0, "out": {}, "left": {}})
    write_json(
        project.base / "base.json",
        {"kind": "hub", "location": "org/model", "revision": "c" * 40, "files": {}, "sha256": "ab" * 32},
    )
    write_text(
        project.trained / "loss.csv", "step,loss,learning_rate,grad_norm,eval_loss\n10,2.5,0.1,1,\n20,1.5,0.1,1,\n"
    )
    run(Settings(), project)
    outline(page(project))
    assert "org/model@cccccccc" in page(project)
    assert "base_model: org/model" in (project.report / "model_card.md").read_text()
    assert "Quantising" not in page(project)


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
    assert "on 20 rows (50 steps of grpo)." in page(project)
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
        assert "for information only: the model after align against the one after train, +0.5 in exact_match" in text
    assert "| adapter | trained | exact match | +0.5 |" in project.card.read_text()
    order = re.findall(r"<tr><td><code>(\w+)</code></td><td class=\"n strong\">", page(project))
    assert order[:6] == ["base", "base_system", "base_few_shot", "trained", "adapter", "merged"]


def test_what_an_adapter_leaves_alone_and_shares_of_low_bits_are_in_page_and_card(project: Paths) -> None:
    training = read_json(project.trained / "training.json", "train")
    experts = ["model.layers.*.mlp.experts.gate_up_proj 46.0%", "model.layers.*.mlp.gate 1.5%"]
    write_json(
        project.trained / "training.json",
        {**training, "tuned_share": 0.525, "left_out": experts, "low_bits_share": 0.875},
    )
    quantization = project.quantized(SCHEMES[0]) / "quantization.json"
    write_json(quantization, {**read_json(quantization, "quantize"), "low_bits": 0.625})
    run(Settings(), project)
    card = (project.report / "model_card.md").read_text()
    assert f"| not covered by the adapter | 47.5 % of the layers' weights: {', '.join(experts)} |" in card
    assert "| base quantised during training | 87.5 % of the layers' weights |" in card
    assert (
        f"does not cover 47.5 % of the weights in matrices, not counting embeddings and head: {', '.join(experts)}."
        in page(project)
    )
    assert all("62.5 %" in text for text in (card, page(project)))


def test_unfinished_run(project: Paths) -> None:
    shutil.rmtree(project.evaluation("merged"))
    with pytest.raises(InputError, match="no scores of merged; run the stage evaluate first"):
        run(Settings(), project)
    assert not project.report.exists()


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


def test_classes_have_their_section(project: Paths) -> None:
    """Sentences at the head, each class, and a picture of the answers; names of classes are escaped."""
    truth = ["often"] * 20 + [EVIL] * 4
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
    assert "Naming every class for every row reaches 64.3 % in macro-F1" in text  # (1 + 2 * 4 / 28) / 2


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


def test_baselines_stand_behind_the_base(project: Paths) -> None:
    for candidate in ("base_retrieved", "merged_retrieved"):
        evaluation(project, candidate, 2)
    file = project.evaluation("base_retrieved") / "scores.json"
    prompts = [{"prompt": f"a {EVIL}", "metric": "exact_match", "value": 0.5, "better": "higher", "chosen": True}]
    write_json(file, {**tiny.read(file), "prompts": prompts})
    tiny.decided(project)
    run(Settings(), project)
    text = page(project)
    names = re.findall(r"<tr><td><code>(\w[\w-]*)</code></td><td class=\"n strong\">", text)
    assert names[:6] == ["base", "base_system", "base_few_shot", "base_retrieved", "adapter", "merged"]
    assert "tuned with retrieved rows" in text and EVIL not in text
    assert "chosen on the validation split, by exact match: <strong>50.0 %</strong>" in text


def test_what_computed_a_candidate_is_said_with_how_far_it_was_compared(project: Paths) -> None:
    file = project.evaluation("merged") / "scores.json"
    engine = {"kind": "vllm", "version": "0.30.0", "rows": 32, "same_answers": 0.9688, "difference": 0.0031}
    write_json(file, {**tiny.read(file), "engine": engine})
    run(Settings(), project)
    assert (
        "<code>merged</code>: computed by vLLM 0.30.0. Of 32 rows that transformers computed too, 96.9 % have the same "
        "answer, and the log-likelihoods of the references differ by 0.0031 nats per token." in page(project)
    )
    write_json(file, {**tiny.read(file), "engine": {**engine, "same_answers": None}})
    run(Settings(), project)
    assert "transformers computed too, the log-likelihoods of the references" in page(project)


def test_what_each_way_of_asking_costs_is_said(project: Paths) -> None:
    for candidate, prompt in (("base", 30.4), ("base_few_shot", 210.0), ("merged", 30.4)):
        file = project.evaluation(candidate) / "scores.json"
        write_json(file, {**tiny.read(file), "cost": {"prompt_tokens": prompt, "answer_tokens": 9.0}})
    run(Settings(), project)
    sentence = (
        "Mean tokens of a question and its answer: tuned (merged) 30 + 9, base 30 + 9, base with examples 210 + 9."
    )
    assert sentence in page(project)
