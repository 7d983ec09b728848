"""A broken dvc.yaml, dvc.lock, .dvc file or params.yaml is one sentence with file, line and key, whatever is wrong."""

import os
import subprocess
from pathlib import Path

import pytest

from flows.bridge import check_tracked_params, survey
from flows.bridge.refusals import one_line
from flows.plan import preflight
from tasks.core.errors import SettingsError
from tests.flows.commands import dvc
from tests.flows.project import Toy

PIPELINE = """\
stages:
  one:
    cmd: echo ${a.b} > one.txt
    deps: [code.py]
    params: [a.b]
    outs: [one.txt]
  two:
    foreach: ${a.c}
    do:
      cmd: echo ${item} > two-${item}.txt
      deps: [one.txt]
      outs: ["two-${item}.txt"]
"""
PARAMS = "a:\n  b: 1\n  c: [x, y]\n"
TRACKED = "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  path: rows.csv\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refusals")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    assert dvc(("init", "-q"), folder, os.environ) == (0, "")
    return folder


@pytest.fixture(autouse=True)
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    for stale in ("dvc.lock", "rows.csv.dvc"):
        Path(stale).unlink(missing_ok=True)
    Path(".dvcignore").write_text("")
    Path(".dvc/config").write_text("")
    Path("code.py").write_text("")
    Path("dvc.yaml").write_text(PIPELINE)
    Path("params.yaml").write_text(PARAMS)


def refused() -> str:
    """What a run says before anything starts: of the files that it parses itself, then of what DVC makes of them."""
    with pytest.raises(SettingsError) as refusal:
        if faults := [*preflight._pipeline(), *preflight._readable()]:
            raise SettingsError("\n".join(faults))
        survey()
    return str(refusal.value)


def test_what_is_whole_is_not_refused() -> None:
    assert [status.name for status in survey()] == ["one", "two@x", "two@y"]
    Path("dvc.yaml").write_text(PIPELINE.replace("echo ${a.b}", r"echo \${HOME} \${x"))
    assert list(preflight._pipeline()) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[code.py]", "[code.py", "dvc.yaml: not valid YAML: line 5: did not find expected ',' or ']'."),
        ("    params", "\tparams",
         "dvc.yaml: not valid YAML: line 5: a tab, which YAML does not allow for indentation; use spaces."),
        ("  two:", "  one:", "dvc.yaml: not valid YAML: line 7: the key one occurs twice; remove one."),
        (
            "  one:", "<<<<<<< HEAD\n  one:",
            "dvc.yaml: not valid YAML: line 2: unresolved merge conflict (<<<<<<<); keep one side.",
        ),
        ("deps: [code", "dep: [code", "dvc.yaml:4: unknown key 'stages.one.dep'; did you mean 'deps'?"),
        ("stages:", "vars: []\nstage: {}\nstages:", "dvc.yaml:2: unknown key 'stage'; did you mean 'stages'?"),
        ("    do:\n      cmd", "    do:\n      comd: a\n      cmd",
         "dvc.yaml:10: unknown key 'stages.two.do.comd'; did you mean 'cmd'?"),
        ("    foreach: ${a.c}", "    matrix: {x: [1]}",
         "dvc.yaml:8: unknown key 'stages.two.matrix'; known: do, foreach.\n"
         "dvc.yaml:7: the key 'stages.two.foreach' is missing; add it."),
        ("outs: [one.txt]", "outs:\n    - one.txt:\n        cach: false",
         "dvc.yaml:8: unknown key 'stages.one.outs.0.one.txt.cach'; did you mean 'cache'?"),
        ("outs: [one.txt]", "outs:\n    - one.txt:\n      cache: false",
         "dvc.yaml:7: stages.one.outs.0: one.txt and cache are at the same level; put the options of a path below it, "
         "indented by two more spaces."),
        ("    cmd: echo ${a.b} > one.txt\n", "", "dvc.yaml:2: the key 'stages.one.cmd' is missing; add it."),
        ("echo ${a.b} > one.txt", "3", "dvc.yaml:3: stages.one.cmd = 3: text is expected."),
        ("outs: [one.txt]", "outs: {one.txt: 1}", "dvc.yaml:6: stages.one.outs: a list is expected."),
        ("deps: [code.py]", "deps:", "dvc.yaml:4: stages.one.deps = nothing: a list is expected."),
        ("  two:", "  three:\n    cmd: echo\n    outs: [one.txt]\n  two:",
         "dvc.yaml:7: one.txt is an output of the stage one and of the stage three; remove it from all but one."),
        ("  two:", "  three:\n    cmd: echo\n    outs: [one.txt/a]\n  two:",
         "dvc.yaml:7: one.txt/a, an output of the stage three, is inside one.txt, an output of the stage "
         "one; give each output its own folder."),
        ("[code.py]", "[one.txt]",
         "dvc.yaml:2: the stage one depends on its own output; remove it from deps or outs."),
        ("[code.py]", "[two-x.txt]",
         "dvc.yaml:2: the stages one and two@x depend on each other in a cycle; remove one of the dependencies."),
        ("  one:", "  one@x:", "dvc.yaml:2: stages.one@x: @ may only precede the item of a foreach; rename it."),
        ("params: [a.b]", "params: [a.b, a.bb, a.c]",
         "dvc.yaml:2: the stage one depends on a.bb, which params.yaml does not have; add it there, or remove it "
         "here."),
        ("${a.b}", "${a.bb}", "dvc.yaml:3: stages.one.cmd: params.yaml has no a.bb; did you mean 'b'?"),
        ("${a.b}", "${HOME}",
         "dvc.yaml:3: stages.one.cmd: params.yaml has no HOME; known: a. A variable of the shell is "
         r"written \${HOME}."),
        ("two-${item}.txt\n", "${a.d}\n", "dvc.yaml:10: stages.two@x.cmd: params.yaml has no a.d; known: b, c."),
        ("foreach: ${a.c}", "foreach: ${a.zzz}",
         "dvc.yaml:8: stages.two.foreach: params.yaml has no a.zzz; known: b, c."),
        ("foreach: ${a.c}", "foreach: ${a.b}",
         "dvc.yaml:8: stages.two.foreach: expected list/dictionary, got int."),
        ("${a.b}", "${a..b}",
         "dvc.yaml:3: stages.one.cmd: ${a..b} cannot be read; write a key of params.yaml as ${section.key}."),
        ("${a.b}", "${a.b", "dvc.yaml:3: stages.one.cmd: a ${ has no } in 'echo ${a.b > one.txt'; close it."),
        ("stages:", "vars: [nope.yaml]\nstages:", "dvc.yaml:1: vars: 'nope.yaml' does not exist."),
    ],
)  # fmt: skip
def test_dvc_yaml(old: str, new: str, sentence: str) -> None:
    assert old in PIPELINE
    Path("dvc.yaml").write_text(PIPELINE.replace(old, new, 1))
    assert refused() == sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("stages: [a]\n", "dvc.yaml:1: stages: keys with values are expected."),
        ("stages:\n  one: echo\n", "dvc.yaml:2: stages.one = echo: keys with values are expected."),
        ("- a\n", "dvc.yaml: expected sections with keys, such as train, but found a list."),
        ("", "dvc.yaml: expected sections with keys, such as train, but found nothing."),
        ("stages:\n  é: {}\n".encode("latin-1"), "dvc.yaml: not UTF-8 (byte 10); save it as UTF-8."),
    ],
)
def test_a_dvc_yaml_of_another_kind(content: str | bytes, sentence: str) -> None:
    Path("dvc.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refused() == sentence


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rows.csv.dvc", "outs:\n- md5: [\n",
         "rows.csv.dvc: not valid YAML: line 3: expected the node content, but found '<stream end>'."),
        ("rows.csv.dvc", f"{TRACKED}  sise: 3\n", "rows.csv.dvc:4: unknown key 'outs.0.sise'; did you mean 'size'?"),
        ("rows.csv.dvc", "outs:\n- size: 3\n", "rows.csv.dvc:2: outs.0: the key 'path' is missing."),
        ("rows.csv.dvc", "- a\n", "rows.csv.dvc: expected sections with keys, such as train, but found a list."),
        ("rows.csv.dvc", TRACKED.replace("rows.csv", "one.txt"),
         "rows.csv.dvc: one.txt is an output of the stage one and of rows.csv.dvc; remove it from all but one."),
        ("params.yaml", "a:\n\tb: 1\n",
         "params.yaml: not valid YAML: line 2: a tab, which YAML does not allow for indentation; use spaces."),
        ("params.yaml", f"{PARAMS}a: {{}}\n",
         "params.yaml: not valid YAML: line 4: the key a occurs twice; remove one."),
        (".dvcignore", b"\xff\n", ".dvcignore: not UTF-8 at byte 0; save it as UTF-8."),
        (".dvc/config", "[core]\n    remot = x\n",
         "DVC's configuration (.dvc/config, .dvc/config.local, or that of this account): extra keys not allowed @ "
         "data['core']['remot']."),
    ],
)  # fmt: skip
def test_files_beside_it(name: str, content: str | bytes, sentence: str) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refused() == sentence
    Path(".dvc/config").write_text("")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("schema: '2.0'\nstages:\n  one:\n    cmd: ech", "was cut off (a run was killed while DVC wrote it)"),
        ("schema: '2.0'\nstages:\n  one: [\n",
         "cannot be read (not valid YAML: line 4: did not find expected node content)"),
        ("schema: '9.0'\nstages: {}\n", "cannot be read (schema: invalid schema version)"),
        ("schema: '2.0'\nstages:\n  one:\n    cmd: echo\n    out: []\n",
         "cannot be read (stages.one.out: extra keys not allowed)"),
        ("<<<<<<< HEAD\nschema: '2.0'\n=======\nschema: '2.0'\n>>>>>>> x\n",
         "cannot be read (not valid YAML: line 1: unresolved merge conflict (<<<<<<<); keep one side)"),
    ],
)  # fmt: skip
def test_a_dvc_lock_that_cannot_be_read_is_made_anew(content: str, why: str) -> None:
    Path("dvc.lock").write_text(content)
    lines: list[str] = []
    survey(lines.append)
    assert lines == [f"dvc.lock {why}: removed; finished stages are restored."]


def test_check_asks_the_same() -> None:
    Path("dvc.yaml").write_text(PIPELINE.replace("params: [a.b]", "params: [a.zz]"))
    with pytest.raises(SettingsError, match=r"dvc\.yaml:2: the stage one depends on a\.zz, which params\.yaml"):
        check_tracked_params()


@pytest.mark.usefixtures("stages_asked_here")
@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_commands_say_it_in_one_sentence(toy: Toy, command: str) -> None:
    text = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(text.replace("    deps:", "    depps:", 1))
    errors = toy.failed(command)
    assert "unknown key 'stages.base.depps'; did you mean 'deps'?" in errors
    assert errors.count("depps") == 1


def test_a_process_that_holds_many_files_is_named_once() -> None:
    error = ValueError(
        "'a' is busy, it is being blocked by:\n  (PID 7): temper run\n  (PID 7): temper run\n\nTry again"
    )
    assert one_line(error) == "'a' is busy, it is being blocked by: (PID 7): temper run Try again."
