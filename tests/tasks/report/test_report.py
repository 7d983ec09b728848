"""The report tells what is in data/, adds up, escapes everything, and is the same bytes every time."""

import re
import shutil
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows.results.decision import sentence
from tasks.core.errors import InputError
from tasks.core.files import write_json, write_text
from tasks.core.paths import Paths
from tasks.decide.best import save_scores
from tasks.report.answers import diff_parts
from tasks.report.gather import RunResults, gather
from tasks.report.refusal import short_refusal
from tasks.report.render import display_name, verdict
from tasks.report.settings import Settings
from tasks.report.stage import run
from tests.tasks import tiny
from tests.tasks.report.finished_run import EVIL, SCHEMES, evaluation, outline, page


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


def test_a_rule_that_could_not_be_judged_is_named_beside_the_verdict(
    project: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.decided(project, quantised_loss=0.2)
    holds = "Every rule that could be judged holds: the model is worth shipping."
    why = "no benchmark in evaluate.benchmarks"
    assert verdict(gather(project)) == f"{holds} Not judged: forgetting ({why})."
    monkeypatch.chdir(project.root)
    assert f"  - forgetting: not judged: {why}" in str(sentence()).splitlines()
    tiny.decided(project, quantised_loss=0.2, forgetting=None)
    assert verdict(gather(project)) == "Every rule holds: the model is worth shipping."
    assert "forgetting" not in str(sentence())


def test_the_verdict_says_how_the_run_compares_with_the_promoted_one_without_a_limit(project: Paths) -> None:
    save_scores(project, project.evaluation("merged"))
    tiny.decided(project, quantised_loss=0.2, forgetting=None)
    text = verdict(gather(project))
    assert text.startswith(
        "Every rule holds: the model is worth shipping. Merged does no worse than the promoted run ("
    )
    assert text.endswith("; decide.best_loss sets no limit.")
    tiny.decided(project, quantised_loss=0.2, forgetting=None, best_loss=0.1)
    assert verdict(gather(project)) == "Every rule holds: the model is worth shipping."


def test_a_model_that_was_tuned_whole_is_not_called_an_adapter(project: Paths) -> None:
    assert display_name(gather(project), "adapter") == "tuned (adapter)"
    write_json(project.merged / "merge.json", {**tiny.read(project.merged / "merge.json"), "method": "full"})
    assert display_name(gather(project), "adapter") == "tuned (as trained)"
    run(Settings(), project)
    card = (project.report / "model_card.md").read_text()
    assert "<code>tuned</code>" in page(project) and "<code>adapter</code>" not in page(project)
    assert "| tuned |" in card and "| adapter |" not in card and "`tuned` is the model as it was trained" in card
    assert tiny.read(project.report / "comparison.json")["method"] == "full"


def test_facts_of_the_training_stand_in_the_words_of_the_field(project: Paths) -> None:
    record = project.trained / "training.json"
    write_json(record, {**tiny.read(record), "attention": "sdpa_by_row", "base": "99a6c29aa947", "deterministic": True})
    run(Settings(), project)
    for text, label in (("SDPA by row", "attention"), ("99a6c29a", "base"), ("50", "steps"), ("True", "deterministic")):
        assert f"<div><b>{text}</b><span>{label}</span></div>" in page(project)


def test_a_gain_within_chance_is_called_so(project: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project.evaluation("base_few_shot"))
    evaluation(project, "base_few_shot", 6)
    tiny.decided(project)
    run(Settings(), project)
    head = (
        "Promotion refused: not proven better than base_few_shot in exact match, with 8 test rows; "
        "this rule fails: quantised loss."
    )
    assert head in page(project), "short"
    assert page(project).count("Promotion refused</strong>: merged against base_few_shot: +0.125 ") == 1
    assert page(project).count("8 rows show a difference of") == 1, "in the section Decision"
    monkeypatch.chdir(project.root)
    first, second, third, *_ = lines = str(sentence()).splitlines()
    assert first == "Decision: promotion refused" and second.startswith("  ✗ merged against base_few_shot: +0.125 ")
    assert third.startswith("  ✓ merged against base and base_system: +0.875 ")
    assert [" against base" in line for line in lines].count(True) == 2, "not a line for each way of asking"
    assert str(sentence()).count("8 rows show a difference of ") == 1


@pytest.mark.parametrize(
    ("deciding", "other", "rules", "head"),
    [
        (
            (0.03, 0.6), (0.516, 0.0002), {},
            "not proven better than base and base_system in exact match, with 34 test rows. "
            "In F1, which does not decide, it is better: +51.6 points (p = 0.0002).",
        ),
        ((-0.4, 0.001), (0.1, 0.4), {}, "worse than base and base_system in exact match."),
        (
            (0.02, 0.001), (-0.2, 0.01), {"quantised_loss": {"passed": False}},
            "better than base and base_system in exact match, but by less than decide.gain asks for; "
            "this rule fails: quantised loss. In F1, which does not decide, it is worse: -20.0 points (p = 0.0100).",
        ),
    ],
)  # fmt: skip
def test_a_refusal_at_the_head_is_short_and_hides_no_metric(
    deciding: tuple[float, float], other: tuple[float, float], rules: dict[str, Any], head: str
) -> None:
    bases = ("base", "base_system")
    decision = {
        "candidate": "merged",
        "metric": "exact_match",
        "settings": {"level": 0.05},
        "rules": {**{f"gain over {name}": {"passed": False} for name in bases}, "gates": {"passed": True}, **rules},
    }
    comparisons = [
        {"candidate": "merged", "against": against, "metric": metric, "difference": difference, "p_adjusted": p,
         "n": 34, "better": "higher"}
        for against in (*bases, "base_few_shot")
        for metric, (difference, p) in (("exact_match", deciding), ("f1", other))
    ]  # fmt: skip
    results = SimpleNamespace(decision=decision, comparisons={"comparisons": comparisons})
    assert short_refusal(cast(RunResults, results)) == head


def test_settings_without_an_effect_are_not_listed(project: Paths) -> None:
    write_json(project.base / "settings.json", {"folder": "models/own", "lines": 9, "architecture": {"layers": 4}})
    write_json(project.generated / "settings.json", {"recipe": "none", "seed": 7})
    record = tiny.read(project.base / "base.json")
    assert record["kind"] == "trained" and gather(project).settings["base"]["architecture.layers"] == 4
    write_json(project.base / "base.json", {**record, "kind": "folder", "location": "models/own"})
    settings = gather(project).settings
    assert (settings["base"], settings["generate"]) == ({"folder": "models/own"}, {"recipe": "none"})


def test_rows_that_left_are_no_errors_of_the_run(project: Paths) -> None:
    audit = tiny.read(project.audit)
    finding = {"check": "too_long", "severity": "error", "rows": 2, "examples": [], "message": "too many tokens"}
    audit["splits"]["train"]["findings"] = [finding, {**finding, "check": "cycle"}]
    audit["splits"]["train"]["rows"]["left"] = {"too_long": 2}
    write_json(project.audit, audit)
    run(Settings(), project)
    assert "<td>left out: too long</td>" in page(project) and "<td>error: cycle</td>" in page(project)


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


@pytest.mark.parametrize("place", ["../shared/data/models/smol-hf", "models/smol-hf/", "/data/smol-hf"])
def test_a_base_folder_goes_by_its_own_name(project: Paths, place: str) -> None:
    record = tiny.read(project.base / "base.json")
    write_json(project.base / "base.json", {**record, "kind": "folder", "location": place})
    run(Settings(), project)
    assert "fine-tuning (rank 4) of smol-hf on 20 rows" in page(project)
    assert "| base | smol-hf (folder) |" in (project.report / "model_card.md").read_text()


def test_unfinished_run(project: Paths) -> None:
    shutil.rmtree(project.evaluation("merged"))
    with pytest.raises(InputError, match="no scores of merged; run the stage evaluate first"):
        run(Settings(), project)
    assert not project.report.exists()


def test_vectors_have_their_table(project: Paths) -> None:
    """Of an embedding model distances are shown, and how they stand to those between texts."""
    embedder = {"pooling": "mean", "normalize": True, "query": "", "document": "", "length": 64}
    distances = {"mean_cosine_distance": 0.0125, "max_cosine_distance": 0.0631, "between_texts": 0.25, "low_bits": 0.9}
    merge = {"embedder": embedder, "dimension": 8, "effect": {"max_cosine_distance": 0.5}, "max_cosine_distance": 1e-7}
    write_json(project.merged / "merge.json", {**tiny.read(project.merged / "merge.json"), **merge})
    for scheme in SCHEMES:
        facts = {"scheme": scheme, "bytes": 120_000, "merged_bytes": 400_000, "ratio": 0.3, "probes": 16, **distances}
        write_json(project.quantized(scheme) / "quantization.json", facts)
    run(Settings(), project)
    text, card = page(project), (project.report / "model_card.md").read_text()
    outline(text)
    (section,) = re.findall(r'<section id="equivalence">.*?</section>', text, re.DOTALL)
    assert section.count('<td class="n">0.0125</td><td class="n">0.0631</td><td class="n">5.0 %</td>') == 2
    assert "| nf4 | 120,000 | 30.0 % | 90.0 % | 0.0125 | 5.0 % |" in card
    assert "load in the same way: `data/quantized/gguf-q8_0`, `data/quantized/nf4`" in card


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
