"""One declaration, two drivers: the flow and the real `dvc` command agree about every stage."""

import shutil
import sys
from pathlib import Path

import pytest

from flows.bridge import survey
from tasks.core.errors import InputError, StageFailed
from tests.flows.project import BELOW_TRAIN, ROOT, STAGES, Toy, states


def how(outcomes: dict[str, str], word: str) -> set[str]:
    return {stage for stage, became in outcomes.items() if became == word}


def test_after_the_flow_dvc_runs_nothing(toy: Toy) -> None:
    before = toy.lock
    output = toy.dvc("repro")
    assert output.count("didn't change, skipping") == len(STAGES)
    assert "Running" not in output
    assert "up to date" in toy.dvc("status")
    assert toy.lock == before


def test_after_dvc_the_flow_finds_everything_cached_and_imports_nothing_heavy(new: Toy, finished: Path) -> None:
    new.dvc("repro")
    before = new.lock
    assert before == (finished / "dvc.lock").read_bytes(), "both drivers write the same"
    program = (
        "import sys; from flows.finetune import finetune; finetune.with_options(flow_run_name='after-dvc')(); "
        "heavy = {'torch', 'transformers', 'pandas', 'matplotlib', 'datasets'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    new.call(sys.executable, "-c", program)
    assert states("after-dvc") == dict.fromkeys(STAGES, "Cached")
    assert new.lock == before


def test_a_parameter_runs_what_depends_on_it_and_back_restores(toy: Toy) -> None:
    before, outputs = toy.lock, Path("data/trained/weights.txt").read_text()
    toy.set("train.learning_rate=1e-4")
    assert how(toy.flow(), "ran") == BELOW_TRAIN
    assert Path("data/trained/weights.txt").read_text() != outputs  # a run cache asked too late gives the old ones
    assert b"learning_rate: 0.0001" in toy.lock
    assert "up to date" in toy.dvc("status")
    toy.call("git", "checkout", "params.yaml")
    outcomes = toy.flow()
    assert how(outcomes, "restored") == BELOW_TRAIN
    assert how(outcomes, "unchanged") == STAGES - BELOW_TRAIN
    assert Path("data/trained/weights.txt").read_text() == outputs
    assert toy.lock == before


def test_a_source_file_runs_its_stage(toy: Toy) -> None:
    Path("code/trainer.py").write_text("x = 2\n")
    outcomes = toy.flow()  # what train writes does not depend on this file, so below it nothing changes
    assert how(outcomes, "ran") == {"train"}
    assert how(outcomes, "unchanged") == STAGES - {"train"}


def test_outputs_and_lock_come_back_from_the_cache(toy: Toy) -> None:
    before = toy.lock
    for name in ("data/trained/weights.txt", "data/clean/train.txt", "data/clean/ledger.json", "dvc.lock"):
        Path(name).unlink()
    outcomes = toy.flow()
    assert how(outcomes, "restored") == STAGES
    assert not (toy.gate / "paid").exists()
    assert toy.lock == before
    assert Path("data/trained/weights.txt").exists()
    assert Path("data/clean/ledger.json").exists()


def test_outputs_of_a_removed_item_do_not_linger(toy: Toy) -> None:
    toy.set("quantize.schemes=[nf4]")
    outcomes = toy.flow()
    assert how(outcomes, "ran") == {"report"}
    assert [path.name for path in Path("data/quantized").iterdir()] == ["nf4"]
    assert [path.name for path in Path("data/evaluation").iterdir()] == ["nf4"]
    assert "up to date" in toy.dvc("status")
    toy.call("git", "checkout", "params.yaml")
    assert "ran" not in toy.flow().values()


def test_outputs_of_a_setting_that_was_taken_back_do_not_linger(toy: Toy) -> None:
    toy.set("quantize.schemes=[nf4, int8, gguf-q8_0, gguf-q4_k_m]")
    assert how(toy.flow(stages=["quantize"]), "ran") == {"quantize@gguf-q4_k_m"}
    toy.call("git", "checkout", "params.yaml", "dvc.lock")
    before = toy.lock
    assert how(toy.flow(), "unchanged") == STAGES
    assert toy.lock == before
    assert not Path("data/quantized/gguf-q4_k_m").exists()
    toy.set("quantize.schemes=[nf4, int8, gguf-q8_0, gguf-q4_k_m]")
    assert how(toy.flow(stages=["quantize"]), "restored") == {"quantize@gguf-q4_k_m"}


def test_an_edited_output_of_a_removed_item_is_not_thrown_away(toy: Toy) -> None:
    Path("data/quantized/int8/model.txt").write_text("precious")
    toy.set("quantize.schemes=[nf4]")
    with pytest.raises(InputError, match="data/quantized/int8 belongs to no stage, and DVC's cache does not have it"):
        toy.flow()
    assert Path("data/quantized/int8/model.txt").read_text() == "precious"


def test_what_a_clone_has_too_stays_beside_outputs(toy: Toy) -> None:
    for name in ("README.md", "kept/notes.txt", ".int8.writing/model.txt"):
        (Path("data/quantized") / name).parent.mkdir(exist_ok=True)
        (Path("data/quantized") / name).write_text(name)
    Path("data/quantized/empty").mkdir()
    shutil.copy(ROOT / ".dvcignore", ".dvcignore")
    toy.call("git", "add", "--force", "data/quantized/README.md", "data/quantized/kept")
    shutil.copytree("data/quantized/nf4", "data/quantized/nf4_before")
    lines: list[str] = []
    survey(lines.append)
    gone = "data/quantized/nf4_before belongs to no stage and was removed (it is still in the cache)."
    assert lines == [gone]
    kept = {".int8.writing", "README.md", "empty", "gguf-q8_0", "int8", "kept", "nf4"}
    assert {path.name for path in Path("data/quantized").iterdir()} == kept
    Path("data/quantized/kept/own.txt").write_text("mine")
    with pytest.raises(InputError, match=r"data/quantized/kept/own\.txt belongs to no stage"):
        survey()


def test_nothing_lingers_where_no_item_is_left(toy: Toy) -> None:
    toy.set("quantize.schemes=[]")
    survey()
    assert [*Path("data/quantized").iterdir(), *Path("data/evaluation").iterdir()] == []


def test_force_runs_a_stage_again(toy: Toy) -> None:
    assert how(toy.flow(force=["merge"]), "ran") == {"merge"}


def test_a_named_stage_comes_with_what_it_needs_and_nothing_else(toy: Toy) -> None:
    toy.set("merge.probes=8")
    outcomes = toy.flow(stages=["quantize"])
    assert how(outcomes, "unchanged") == {"base", "generate", "clean", "train"}
    assert how(outcomes, "ran") == {"merge", "quantize@nf4", "quantize@int8", "quantize@gguf-q8_0"}
    assert len(outcomes) == 8
    assert "there is no stage evaluate@nf5; did you mean 'evaluate@nf4'?" in toy.failed("run", "evaluate@nf5")


def test_one_failure_stops_only_what_needs_it(toy: Toy) -> None:
    (toy.gate / "fail-quantize-int8").touch()
    toy.set("merge.probes=8")
    before = toy.lock
    with pytest.raises(StageFailed) as failure:
        toy.flow()
    assert str(failure.value) == "quantize int8: the toy was told to fail.\n  Remove toy-gate/fail-quantize-int8."
    assert Path("data/evaluation/nf4/scores.txt").exists()
    assert not Path("data/quantized/int8").exists()
    (toy.gate / "fail-quantize-int8").unlink()
    outcomes = toy.flow()
    assert how(outcomes, "ran") == {"quantize@int8", "evaluate@int8", "report"}
    assert toy.lock != before


def test_a_missing_input_is_named_before_anything_runs(toy: Toy) -> None:
    toy.set("base.lines=300")
    Path("code/trainer.py").unlink()
    Path("code").rmdir()
    before = toy.lock
    with pytest.raises(InputError, match=r"code \(for train\): missing, and no stage makes it"):
        toy.flow()
    assert Path("data/trained/weights.txt").exists()
    assert toy.lock == before
