"""Promotion and comparison of runs: real git, real DVC, real GTO tags."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from flows.cli.main import main
from tasks.core.errors import CheckFailed, InputError, MachineError
from tasks.core.files import write_json, write_text
from tasks.core.paths import Paths
from tests.flows.commands import dvc
from tests.tasks import tiny

DVC = """stages:
  evaluate:
    cmd: cp -r made data/evaluation
    deps: [made]
    params: [train]
    outs: [data/evaluation/base, data/evaluation/merged]
  decide:
    cmd: cp decision.json data/decision/decision.json
    deps: [decision.json]
    metrics:
      - data/decision/decision.json:
          cache: false
artifacts:
  model:
    path: data/evaluation/merged
    type: model
"""
ROWS = 20


def call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ran(right: int, rate: float, promote: bool) -> str:
    """A finished run in the current folder: `right` of 20 rows answered rightly; the commit."""
    paths = Paths(Path("made-in"))
    shutil.rmtree("made", ignore_errors=True)
    shutil.rmtree("data/evaluation", ignore_errors=True)
    for candidate, count in {
        "base": 2,
        "base_system": 2,
        "base_few_shot": 2,
        "adapter": right,
        "merged": right,
    }.items():
        scored = {"exact_match": [float(number < count) for number in range(ROWS)]}
        answers = [f"{candidate} {number < count}" for number in range(ROWS)]
        tiny.evaluation(paths, candidate, scored, answers)
    shutil.move(paths.data / "evaluation", "made")
    write_text(Path("params.yaml"), f"train:\n  learning_rate: {rate}\n")
    decision = {"promote": promote, "reason": f"merged has {right}.", "candidate": "merged", "metric": "exact_match"}
    write_json(
        Path("decision.json"),
        {**decision, "value": right / 20, "low": 0.0, "high": 1.0, "n": 20, "gain": 0.1, "p": 0.01},
    )
    Path("data/decision").mkdir(parents=True, exist_ok=True)
    score = {"value": right / 20, "low": 0.0, "high": 1.0, "n": ROWS}
    write_json(Path("data/report/comparison.json"), {"candidates": {"merged": {"exact_match": score, "slices": {}}}})
    assert dvc(("repro", "--quiet"), Path.cwd(), os.environ) == (0, "")
    call("git", "add", "--all")
    call("git", "commit", "--quiet", "-m", f"{right} of {ROWS}")
    return call("git", "rev-parse", "HEAD").strip()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The commits of a run that may be promoted and of a later one that may not, in the current folder."""
    project, before = tmp_path_factory.mktemp("decided"), Path.cwd()
    kept = dict(os.environ)
    os.environ.update({f"GIT_{who}_NAME": "temper" for who in ("AUTHOR", "COMMITTER")})
    os.environ.update({f"GIT_{who}_EMAIL": "temper@localhost" for who in ("AUTHOR", "COMMITTER")})
    os.environ.update(
        PATH=f"{Path(sys.executable).parent}:{kept['PATH']}", DVC_NO_ANALYTICS="1", GIT_CONFIG_GLOBAL="/dev/null",
        PYTHONPATH=str(before),
    )  # fmt: skip
    os.chdir(project)
    try:
        call("git", "init", "--quiet", "--initial-branch=main")
        assert dvc(("init", "--quiet"), project, os.environ) == (0, "")
        write_text(Path("dvc.yaml"), DVC)
        write_text(Path(".gitignore"), "/made-in\n")
        yield ran(12, 0.1, True), ran(8, 0.2, False)
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ.update(kept)


def temper(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command, carried out in this process, which has its libraries."""
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
        code = main([*arguments])
    return code, output.getvalue() + errors.getvalue()


def test_compare_without_names_tells_all_runs(runs: tuple[str, str]) -> None:
    code, output = temper("compare")
    assert code == 0, output
    lines = output.splitlines()
    assert all(len(line) <= 80 for line in lines)
    later, changed, earlier = lines[1:4]
    assert later.startswith("8 of 20") and runs[1][:8] in later
    assert "0.400 (0.000-1.000)" in later and later.endswith("refused")
    assert changed == "  decision.json changed; made changed; train.learning_rate 0.1 -> 0.2"
    assert runs[0][:8] in earlier and "0.600" in earlier and earlier.endswith("allowed")
    page = Path("data/report/runs.html").read_text()
    content = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert [run["commit"] for run in content["runs"]] == [runs[1], runs[0]]
    assert content["params"] == ["train.learning_rate"] and content["runs"][0]["params"] == [0.2]
    assert content["runs"][0]["reason"] == "merged has 8."
    assert len(content["answers"]["sets"]) == 1 and len(content["answers"]["sets"][0]) == 20, "both were asked the same"
    assert [sum(run["answers"]["merged"]["scores"]) for run in content["runs"]] == [8, 12]
    texts = content["answers"]["texts"]
    assert [texts[at] for at in content["runs"][0]["answers"]["merged"]["texts"]][7:9] == [
        "merged True",
        "merged False",
    ]
    Path("data/report/runs.html").unlink()
    code, output = temper("compare", "--json")
    assert code == 0 and [run["name"] for run in json.loads(output)["runs"]] == ["8 of 20", "12 of 20"]
    assert temper("compare", "HEAD", "--json")[0] == 1


def test_compare_tells_parameters_outputs_scores_and_rows(runs: tuple[str, str]) -> None:
    code, output = temper("compare", runs[0], runs[1], "--rows", "2")
    assert code == 0, output
    assert "train.learning_rate 0.1 -> 0.2" in output
    inputs = "data and models\n  decision.json changed\n  made changed\n  and 2 outputs made of these\n"
    assert inputs in output
    assert "merged exact match 0.6 -> 0.4" in output
    assert "promotion refused: merged has 8." in output
    assert "20 in both" in output and "4 answers differ" in output
    assert "exact match: -0.2" in output and "0 rows higher, 4 lower, 16 level" in output
    assert output.count("    second ") == 2
    heads = [line for line in output.splitlines() if line and not line.startswith(" ")]
    assert heads[1:] == [
        "scores", "rows of merged", "parameters", "data and models", "decision", "answers that differ",
    ]  # fmt: skip
    output = temper("compare", runs[1], ".")[1]
    assert "scores\n  the same\n" in output and "both: promotion refused" in output
    assert "answers that differ" not in output


def test_what_cannot_be_compared_is_one_sentence(runs: tuple[str, str]) -> None:
    code, output = temper("compare", runs[0], "nothing")
    assert code == 1 and "git has no revision 'nothing' here" in output and "Traceback" not in output
    code, output = temper("compare", runs[0], runs[1], "--candidate", "nf4")
    assert code == 1 and output.endswith("did not evaluate 'nf4'; known: merged.\n") and "scores" not in output
    shutil.move(".dvc/cache", "cache-away")
    try:
        code, output = temper("compare", runs[0], runs[1])
        assert code == 1 and "is not in DVC's cache; fetch it" in output
        assert "train.learning_rate 0.1 -> 0.2" in output, "what needs no cache is there"
    finally:
        shutil.rmtree(".dvc/cache", ignore_errors=True)
        shutil.move("cache-away", ".dvc/cache")


def test_a_run_that_its_rules_refuse_is_not_promoted(runs: tuple[str, str]) -> None:
    from flows.history.registry import register
    from flows.results.decision import allowed

    with pytest.raises(
        CheckFailed, match=r"^HEAD cannot be promoted:\n  merged has 8\.\nRead more: temper compare HEAD"
    ):
        register("HEAD", "production")
    assert call("git", "tag") == ""
    code, output = temper("history")
    assert code == 0 and output.startswith(
        "No model has been promoted yet. The rules refuse it for the last commit: merged"
    )
    assert "temper promote --against-the-rules" in output
    with pytest.raises(MachineError, match="git has no revision"):
        register("nothing", "production")
    decided = Path("data/decision/decision.json")
    committed = decided.read_bytes()
    write_json(decided, {**json.loads(committed), "reason": "of a newer run", "promote": True})
    with pytest.raises(MachineError, match="the decision of this checkout is not committed; commit it"):
        register("HEAD", "production")
    with pytest.raises(MachineError, match="the decision of this checkout is not committed; commit it"):
        allowed(None, "HEAD", force=True, here=True)
    with pytest.raises(MachineError, match="HEAD~1 has no decision"):
        allowed(None, "HEAD~1", force=True)
    decided.write_bytes(committed)


def test_a_refusal_lists_what_fails_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from flows.results.decision import allowed

    monkeypatch.chdir(tmp_path)
    best = "merged loses 0.4 against the promoted run; decide.best_loss sets no limit"
    rules = {
        "gain over base": {"passed": False, "value": 0.0, "limit": 0.0, "says": "merged against base: +0"},
        "quantised_loss": {"passed": True, "value": 0.0, "limit": 0.05, "says": "nf4 does no worse than merged"},
        "best_loss": {"passed": None, "value": 0.4, "limit": None, "says": best},
        "judged": {"passed": None, "value": 0.4, "limit": None, "says": "not checked"},
    }
    gains = [{"passed": False, "says": "merged against base: +0"}]
    decided = {"promote": False, "reason": "merged against base: +0.", "gains": gains, "rules": rules}
    refused = ["HEAD cannot be promoted:", "  ✗ merged against base: +0", f"  - best loss: {best}"]
    over = "`--against-the-rules` registers it nevertheless."
    write_text(Path("data/report/report.html"), "")
    for here, more in ((True, "data/report/report.html"), (False, "temper compare HEAD")):
        with pytest.raises(CheckFailed) as error:
            allowed(decided, "HEAD", force=False, here=here)
        assert str(error.value).splitlines() == [*refused, f"Read more: {more}. {over}"]


def test_a_run_is_registered_with_version_stage_and_numbers(runs: tuple[str, str]) -> None:
    from flows.history.registry import register

    assert "model v0.0.1 is commit" in register(runs[0], "staging")[0]
    assert register(runs[0], "production")[0].startswith("model v0.0.1"), "a version of its own once only"
    with pytest.raises(InputError, match=r"--version v0\.0\.1: another commit has this version"):
        register(runs[1], "production", "v0.0.1", force=True)
    with pytest.raises(InputError, match=r"--version abc: a version is vX\.Y\.Z"):
        register(runs[0], "staging", "abc")
    tags = call("git", "tag").split()
    assert [tag for tag in tags if "@" in tag] == ["model@v0.0.1"]
    message = call("git", "tag", "--list", "--format=%(contents)", "model@v0.0.1")
    assert "exact match 0.6 (0 to 1, 20 rows); gain over base +0.1, p = 0.0100" in message
    shown: list[dict[str, Any]] = json.loads(call("gto", "show", "model", "--json"))
    assert [one["version"] for one in shown] == ["v0.0.1"]
    assert {stage["stage"] for stage in shown[0]["stages"]} == {"staging", "production"}
    assert shown[0]["commit_hexsha"] == runs[0]
    code, output = temper("history")
    assert code == 0 and "production v0.0.1 (now)" in output and "12 of 20" in output and "merged has 12." in output
    history = json.loads(temper("history", "--json")[1])
    assert [(one["stage"], one["version"], one["current"]) for one in history] == [
        ("production", "v0.0.1", True), ("staging", "v0.0.1", True),
    ]  # fmt: skip


def test_against_the_rules_says_so_and_keeps_the_scores(runs: tuple[str, str]) -> None:
    import pyarrow.parquet as pq

    code, output = temper("promote", "--against-the-rules", "--version", "v1.0.0")
    assert code == 0, output
    assert "model v1.0.0" in output and "commit data/best and dvc.lock together" in output
    assert "in place of v0.0.1." in output and "in place of those" not in output, "nothing was in data/best"
    scores = [f"merged: exact match {value} (0 to 1, 20 rows)" for value in (0.6, 0.4)]
    assert f"v0.0.1: {scores[0]}. v1.0.0: {scores[1]}." in output.splitlines()
    assert "against the rules: merged has 8." in call("git", "tag", "--list", "--format=%(contents)", "model@v1.0.0")
    kept = pq.read_table("data/best/scores.parquet").to_pydict()
    assert sum(kept["exact_match"]) == 8 and len(kept["id"]) == ROWS


def test_an_earlier_version_is_in_production_again(runs: tuple[str, str]) -> None:
    import pyarrow.parquet as pq

    from flows.compare.production import promotions

    code, output = temper("promote", "v0.0.1")
    assert code == 0 and "in the stage production again, in place of v1.0.0" in output
    kept = "with its scores, which are now in data/best, in place of those that were there."
    assert kept in output, "out of DVC's cache: other rows are checked out"
    assert sum(pq.read_table("data/best/scores.parquet").to_pydict()["exact_match"]) == 12
    (shown,) = json.loads(call("gto", "show", "model#production", "--json"))
    assert (shown["version"], shown["commit_hexsha"]) == ("v0.0.1", runs[0])
    newest, before, *_ = promotions()
    assert (newest.version, newest.replaced, newest.current) == ("v0.0.1", runs[1], True)
    assert newest.why == "going back: merged has 12." and not before.current
    code, output = temper("promote", "--stage", "canary", "--against-the-rules")
    assert code == 0 and "v1.0.0 is commit" in output and "data/best is as it was" in output
    assert sum(pq.read_table("data/best/scores.parquet").to_pydict()["exact_match"]) == 12, "those of production"


def test_going_back_says_where_the_scores_cannot_be_had_and_needs_no_second_overruling(runs: tuple[str, str]) -> None:
    from flows.history.registry import register

    call("git", "checkout", "--quiet", "--detach", runs[0])
    shutil.move(".dvc/cache", "cache-away")
    try:
        done, _, lines = register("v1.0.0", "production")
    finally:
        shutil.rmtree(".dvc/cache", ignore_errors=True)
        shutil.move("cache-away", ".dvc/cache")
        call("git", "checkout", "--quiet", "main")
    assert "model v1.0.0" in done and "production again, in place of v0.0.1" in done
    assert "still compared with the scores in data/best, not with those of v1.0.0: " in lines
    assert "is not in DVC's cache; fetch it: dvc fetch" in lines
    tag = call("git", "tag", "--list", "--sort=-version:refname", "--format=%(contents)", "model#production#*")
    assert "going back: against the rules: merged has 8." in tag.partition("merged: ")[2]


def test_the_model_that_is_in_production_is_not_registered_again(runs: tuple[str, str]) -> None:
    from flows.history.registry import register

    before = call("git", "tag")
    call("git", "commit", "--quiet", "--allow-empty", "--message", "the same dvc.lock")
    Path("note").touch()
    for revision, there in (("HEAD", True), ("v1.0.0", False)):
        done, *more = register(revision, "production")
        assert done == "This model is already in production, as model v1.0.0; nothing was registered."
        assert [line for line in more if "Not committed" in line and "note" in line] == more and bool(more) == there
    with pytest.raises(InputError, match=r"HEAD has the model of v1.0.0, which is in production already"):
        register("HEAD", "production", "v2.0.0")
    with pytest.raises(InputError, match=r"is v0.0.1 already, and has no other version"):
        register(runs[0], "production", "v2.0.0")
    assert call("git", "tag") == before
    with pytest.raises(InputError, match=r"HEAD has the model of v1.0.0, which needs no other version"):
        register("HEAD", "shadow", "v2.0.0", force=True)
    done = register("HEAD", "shadow", force=True)[0]
    assert done.startswith("model v1.0.0 has the weights of HEAD, and is in the stage shadow.")
    added = set(call("git", "tag").split()) - set(before.split())
    assert [tag.split("#")[:2] for tag in added] == [["model", "shadow"]], "no version"


def test_a_run_whose_model_is_in_production_does_not_propose_to_promote_it(
    runs: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.cli import run

    monkeypatch.setattr(run, "rate", lambda: "train.learning_rate")
    already = "This model is already in production, as v1.0.0: nothing is left to promote."
    assert run.after("")[0] == already and not any("temper promote" in line for line in run.after(""))
    lock = Path("dvc.lock")
    committed = lock.read_bytes()
    lock.write_bytes(subprocess.run(["git", "show", f"{runs[0]}:dvc.lock"], capture_output=True, check=True).stdout)
    decided = Path("data/decision/decision.json")
    refused = decided.read_bytes()
    decided.write_bytes(json.dumps({**json.loads(refused), "promote": True}).encode())
    assert run.after("")[0].startswith("Next:    temper promote"), "the weights of another version"
    lock.write_bytes(committed)
    decided.write_bytes(refused)
