"""Evaluating: every candidate is asked exactly as in training, scored, and gives the same bytes every time."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.chat.renderer import Renderer
from tasks.core.errors import InputError, ModelError, SettingsError
from tasks.core.paths import Paths
from tasks.evaluate.questions import build_question, drawn_rows, rows, shots
from tasks.evaluate.settings import Settings
from tasks.evaluate.stage import run
from tests.tasks import tiny
from tests.tasks.tiny import contents

pytest.importorskip("torch")

QUICK = Settings(max_new_tokens=12, batch_size=3)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Base, adapter, merged and nf4 model of one project."""
    from tasks.merge import stage as merge
    from tasks.quantize import stage as quantize

    paths = tiny.project(tmp_path_factory.mktemp("evaluate"))
    merge.run(merge.Settings(), paths)
    quantize.run(quantize.Settings(max_divergence=9.0), paths, "nf4")
    quantize.run(quantize.Settings(), paths, "gguf-q8_0")
    return paths


def predictions(paths: Paths, candidate: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(paths.evaluation(candidate) / "predictions.parquet").to_pylist()
    return rows


def by_hand(model: Any, tokenizer: Any, prompt: str, max_new_tokens: int = 12) -> str:
    """Greedy decoding of one prompt without padding, without lm-eval."""
    import torch

    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    start = len(ids)
    with torch.no_grad():
        while len(ids) < start + max_new_tokens:
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
    text: str = tokenizer.decode(ids[start:], skip_special_tokens=True)
    return text


@pytest.mark.parametrize("candidate", ["base", "base_system", "base_few_shot", "adapter", "merged", "nf4", "gguf-q8_0"])
def test_every_candidate_answers_every_row(project: Paths, candidate: str) -> None:
    run(QUICK, project, candidate)
    scores = tiny.read(project.evaluation(candidate) / "scores.json")
    predicted_rows = predictions(project, candidate)
    assert scores["candidate"] == candidate
    assert scores["metrics"]["exact_match"]["n"] == len(predicted_rows) == 8
    assert {name: part["exact_match"]["n"] for name, part in scores["slices"]["slice"].items()} == {
        "new_combination": 4,
        "new_phrasing": 4,
    }
    assert scores["too_long"] == 0
    assert [row["reference"] for row in predicted_rows] == [
        chat[-1]["content"] for chat in tiny.conversations()[24:]
    ], "the order of the test split"


def test_answers_are_those_of_plain_greedy_decoding(project: Paths) -> None:
    from tasks.models.loading import load_model

    run(QUICK, project, "merged")
    model, tokenizer = load_model(project.merged), tiny.tokenizer()
    for row in predictions(project, "merged"):
        assert row["prompt"] == f"<|im_start|>user\n{row['prompt'].split(chr(10))[1]}\n<|im_start|>assistant\n"
        assert row["output"] == by_hand(model, tokenizer, row["prompt"])


def test_a_tokenizer_that_adds_bos_is_kept_from_it(project: Paths, tmp_path: Path) -> None:
    """The template has written every control token; one more in front would be what training never saw."""
    from tokenizers.processors import TemplateProcessing

    run(QUICK, project, "merged")
    other = Paths(tmp_path)
    other.data.mkdir()
    for name in ("base", "clean", "merged"):
        (other.data / name).symlink_to(getattr(project, name))
    tokenizer = tiny.tokenizer()
    first = ("<|im_start|>", tokenizer.convert_tokens_to_ids("<|im_start|>"))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{first[0]} $A", special_tokens=[first])
    tokenizer.save_pretrained(other.templated / "tokenizer")
    assert tokenizer("a")["input_ids"][0] == first[1]
    run(QUICK, other, "merged")
    assert predictions(other, "merged") == predictions(project, "merged")


def test_adapter_and_merged_agree_and_differ_from_base(project: Paths) -> None:
    for candidate in ("base", "adapter", "merged"):
        run(QUICK, project, candidate)
    base, adapter, merged = (
        [row["output"] for row in predictions(project, candidate)] for candidate in ("base", "adapter", "merged")
    )
    assert adapter == merged
    assert adapter != base


def test_what_train_made_is_asked_beside_what_align_made_of_it(project: Paths, tmp_path: Path) -> None:
    """Where align is off both are one model, which is asked once."""
    here = Paths(tmp_path)
    here.data.mkdir()
    for name in ("base", "clean", "templated"):
        (here.data / name).symlink_to(getattr(project, name))
    shutil.copytree(project.fitted, here.fitted)
    (here.fitted / "training.json").write_text("{}")
    here.params.write_text('align:\n  objective: "off"\n')
    run(QUICK, here, "trained")
    assert [file.name for file in here.evaluation("trained").iterdir()] == ["settings.json"]

    here.params.write_text("align:\n  objective: dpo\n")
    tiny.adapter(here.aligned, here.base / "model", scale=0.2)
    (here.aligned / "training.json").write_text("{}")
    for candidate in ("trained", "adapter"):
        run(QUICK, here, candidate)
    run(QUICK, project, "adapter")
    assert tiny.read(here.evaluation("trained") / "scores.json")["kind"] == "tuned"
    assert predictions(here, "trained") == predictions(project, "adapter")
    assert predictions(here, "adapter") != predictions(here, "trained")

    here.params.write_text("align:\n  objective: reward\n")
    run(QUICK, here, "trained")
    assert [file.name for file in here.evaluation("trained").iterdir()] == ["settings.json"], "it answers nothing"
    here.params.write_text("align:\n  objective: dpo\n  start: base\n")
    (here.fitted / "training.json").unlink()
    run(QUICK, here, "trained")
    assert [file.name for file in here.evaluation("trained").iterdir()] == ["settings.json"], "train is off"


def test_few_shot_prompts_hold_rows_of_train_only(project: Paths) -> None:
    run(QUICK, project, "base_few_shot")
    chosen = shots(rows(project.clean / "train.parquet")[0], [], 3)
    for row in predictions(project, "base_few_shot"):
        for shot in chosen:
            assert shot["messages"][-1]["content"] + "<|im_end|>" in row["prompt"]
        assert row["reference"] not in row["prompt"]
    assert tiny.read(project.evaluation("base_few_shot") / "scores.json")["shots"] == {"3": 8}


def test_same_bytes_twice_and_no_stale_answer(project: Paths) -> None:
    run(QUICK, project, "merged")
    before = contents(project.evaluation("merged"))
    run(Settings(max_new_tokens=2, batch_size=3), project, "merged")
    shorter = contents(project.evaluation("merged"))
    run(QUICK, project, "merged")
    assert contents(project.evaluation("merged")) == before
    assert shorter["predictions.parquet"] != before["predictions.parquet"], "answers after a change are new ones"
    assert str(project.root).encode() not in b"".join(before.values())


def test_batches_do_not_change_answers(project: Paths) -> None:
    run(QUICK, project, "merged")
    three = [row["output"] for row in predictions(project, "merged")]
    run(Settings(max_new_tokens=12, batch_size=8), project, "merged")
    assert [row["output"] for row in predictions(project, "merged")] == three


def test_limit_and_derived_length(project: Paths) -> None:
    run(Settings(limit=3), project, "base")
    scores = tiny.read(project.evaluation("base") / "scores.json")
    assert scores["metrics"]["exact_match"]["n"] == 3
    tokenizer = tiny.tokenizer()
    longest = max(len(tokenizer(chat[-1]["content"])["input_ids"]) for chat in tiny.conversations()[24:27])
    assert scores["max_new_tokens"] == longest + 8


def test_a_perfect_model_scores_one(project: Paths, tmp_path: Path) -> None:
    """The references are replaced by what the model says: the whole chain must then find 8 of 8."""
    import pyarrow.parquet as pq

    run(QUICK, project, "merged")
    outputs = [row["output"] for row in predictions(project, "merged")]
    table = tiny.rows(
        "test",
        [
            [chat[0], {"role": "assistant", "content": f" {text}\n"}]
            for chat, text in zip(tiny.conversations()[24:], outputs, strict=True)
        ],
    )
    other = Paths(tmp_path)
    for name in ("base", "templated", "merged"):
        other.data.mkdir(exist_ok=True)
        (other.data / name).symlink_to(getattr(project, name))
    other.clean.mkdir()
    pq.write_table(table, other.clean / "test.parquet")
    run(QUICK, other, "merged")
    assert tiny.read(other.evaluation("merged") / "scores.json")["metrics"]["exact_match"]["value"] == 1.0


def test_wrong_end_of_generation_is_mended(project: Paths, tmp_path: Path) -> None:
    """A base whose own settings never stop and penalise repetition is still decoded like every candidate."""
    from tasks.core.files import write_json
    from tasks.evaluate.candidates import folders, load

    tokenizer = tiny.tokenizer()
    other = Paths(tmp_path)
    folder = tiny.model(other.base / "model", vocabulary=len(tokenizer))
    write_json(folder / "generation_config.json", {"eos_token_id": 999, "repetition_penalty": 1.5, "do_sample": True})
    tiny.record(other, folder, "trained", "model")
    settings = load("base", QUICK, folders("base", QUICK, other), tokenizer).generation_config
    assert (settings.eos_token_id, settings.do_sample) == (tokenizer.eos_token_id, False)
    assert settings.repetition_penalty in (None, 1.0)


def test_multi_turn_rows_system_first_and_shots_that_fit() -> None:
    tokenizer = tiny.tokenizer()
    row = {
        "id": "x",
        "slice": None,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "start web"},
            {"role": "assistant", "content": "docker start web"},
            {"role": "user", "content": "stop db"},
            {"role": "assistant", "content": "docker stop db"},
        ],
    }
    shot = {"id": "s", "messages": [{"role": "system", "content": "other"}, *tiny.conversations()[5]]}
    renderer = Renderer(tokenizer)
    question = build_question(row, [shot, shot], renderer, tokenizer, 10_000)
    assert question is not None
    assert question.reference == "docker stop db"
    assert question.shots == 2
    assert question.prompt.startswith("<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nstart mail")
    assert question.prompt.endswith(
        "docker start web<|im_end|>\n<|im_start|>user\nstop db<|im_end|>\n<|im_start|>assistant\n"
    )
    assert "other" not in question.prompt
    fewer = build_question(row, [shot, shot], renderer, tokenizer, len(question.ids) - 1)
    assert fewer is not None and fewer.shots == 1
    assert build_question(row, [], renderer, tokenizer, 5) is None


def test_rows_that_do_not_fit_count_as_wrong(project: Paths, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    other = Paths(tmp_path)
    other.clean.mkdir(parents=True)
    for name in ("base", "templated", "merged"):
        (other.data / name).symlink_to(getattr(project, name))
    long = [{"role": "user", "content": "start web " * 200}, {"role": "assistant", "content": "docker start web"}]
    pq.write_table(tiny.rows("test", [tiny.conversations()[24], long]), other.clean / "test.parquet")
    run(QUICK, other, "merged")
    scores = tiny.read(other.evaluation("merged") / "scores.json")
    assert (scores["too_long"], scores["metrics"]["exact_match"]["n"]) == (1, 2)
    assert [row["prompt"] is None for row in predictions(other, "merged")] == [False, True]
    pq.write_table(tiny.rows("test", [long]), other.clean / "test.parquet")
    with pytest.raises(InputError, match="none of 1 row fits into the model's context of 256 tokens"):
        run(QUICK, other, "merged")


def test_empty_test_split(project: Paths, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    other = Paths(tmp_path)
    other.clean.mkdir(parents=True)
    pq.write_table(tiny.rows("test", []), other.clean / "test.parquet")
    with pytest.raises(InputError, match="no rows, so there is nothing to evaluate on"):
        run(QUICK, other, "base")


def test_pairs_are_asked_for_the_chosen_answer_and_what_cannot_be_asked_is_counted(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    prompt, good, bad = (
        [{"role": role, "content": text}] for role, text in (("user", "q"), ("assistant", "yes"), ("assistant", "no"))
    )
    canonical_rows: list[dict[str, Any]] = [
        {"id": "dialogue", "messages": prompt + good},
        {"id": "pair", "prompt": prompt, "chosen": good, "rejected": bad},
        {"id": "liked", "prompt": prompt, "completion": good, "label": True},
        {"id": "disliked", "prompt": prompt, "completion": bad, "label": False},
        {"id": "text", "text": "no question"},
    ]
    columns = ("id", "messages", "prompt", "chosen", "rejected", "completion", "label", "text")
    file = tmp_path / "test.parquet"
    pq.write_table(pa.table({name: pa.array([row.get(name) for row in canonical_rows]) for name in columns}), file)
    can, others = rows(file)
    assert [(row["id"], row["messages"]) for row in can] == [
        (name, prompt + good) for name in ("dialogue", "pair", "liked")
    ]
    assert others == 2
    assert len(drawn_rows(rows(file)[0], 1)[0]) == 1
    pq.write_table(pa.table({name: pa.array([row.get(name) for row in canonical_rows[3:]]) for name in columns}), file)
    with pytest.raises(InputError, match="each of 2 rows is a text or an answer rated bad"):
        rows(file)


def test_a_further_model_with_nothing_but_a_gguf_file(project: Paths) -> None:
    """What Ollama gets: tokenizer and chat template lie in the file."""
    folder = project.root / "other"
    folder.mkdir()
    (folder / "model.gguf").symlink_to(next(project.quantized("gguf-q8_0").glob("*.gguf")))
    run(QUICK, project, "gguf-q8_0")
    run(QUICK.model_copy(update={"models": {"other": "other"}}), project, "other")
    assert tiny.read(project.evaluation("other") / "scores.json")["kind"] == "other"
    outputs = [[row["output"] for row in predictions(project, name)] for name in ("other", "gguf-q8_0")]
    assert outputs[0] == outputs[1]


def test_a_gguf_file_that_was_cut_off_is_refused_before_a_run(project: Paths) -> None:
    from tasks.evaluate.stage import validate

    folder = project.root / "cut"
    folder.mkdir()
    whole = next(project.quantized("gguf-q8_0").glob("*.gguf")).read_bytes()
    settings = QUICK.model_copy(update={"models": {"cut": "cut"}})
    (folder / "model.gguf").write_bytes(whole)
    validate(settings, project)
    message = r"cut/model\.gguf: it is not a complete GGUF file .*; restore the file"
    for size in (0, 8, 2000, len(whole) // 2, len(whole) - 1):
        (folder / "model.gguf").write_bytes(whole[:size])
        with pytest.raises(ModelError, match=message):
            validate(settings, project)
        with pytest.raises(ModelError, match=message):
            run(settings, project, "cut")


def test_unknown_candidate(project: Paths) -> None:
    with pytest.raises(SettingsError, match=r"unknown candidate 'q3' .*; known: adapter, base, base_few_shot, .*gguf"):
        run(QUICK, project, "q3")
    with pytest.raises(SettingsError, match=r"unknown candidate 'gguf-q8' .*; did you mean 'gguf-q8_0'"):
        run(QUICK, project, "gguf-q8")
