"""The command `temper audit`: its exit codes, its object, and one clear sentence for whatever it is given."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.audit.__main__ import main
from tasks.audit.reasons import ALL
from tests.tasks import tiny

HERE = Path(__file__).parents[3]
CLEAN = {"id": "my-7", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
LONG = {"id": "long-one", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "x" * 300}]}
OPEN = {"instruction": "hi", "input": "", "output": ""}


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a tokenizer: no project."""
    monkeypatch.chdir(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path / "tok")
    write("clean.jsonl", CLEAN)
    return tmp_path


def write(name: str, *rows: dict[str, Any]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def audit(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, what is printed, and what is said of errors."""
    try:
        code = main(list(arguments))
    except SystemExit as exit:  # of argparse
        code = int(exit.code or 0)
    out, error = capsys.readouterr()
    return code, out, error


def test_a_clean_file_is_told_so(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = audit(capsys, "clean.jsonl", "--tokenizer", "tok")
    assert (code, error) == (0, "")
    assert "Every check passes." in out
    assert "limit 256 (model_max_length of the tokenizer); 0 above" in out


def test_the_object_for_programs(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("rows.jsonl", CLEAN, LONG, OPEN)
    code, out, error = audit(capsys, "rows.jsonl", "--tokenizer", "tok", "--json")
    report = json.loads(out)
    assert (code, error, out.count("\n")) == (1, "", 1)
    assert report.keys() == {"ok", "rows", "kept", "shapes", "findings", "lengths", "tokens"}
    assert (report["ok"], report["rows"], report["kept"]) == (False, 3, 1)
    for finding in report["findings"]:
        assert finding.keys() == {"check", "severity", "rows", "examples", "message"}
        assert finding["check"] in ALL and finding["severity"] in ("error", "warning")
    named = {finding["check"]: (finding["rows"], finding["examples"]) for finding in report["findings"]}
    assert named == {"too_long": (1, ["long-one"]), "no_answer": (1, ["3"])}
    assert report["lengths"]["max_length"] == 256 and report["lengths"]["above"] == 1
    tokens = report["tokens"]
    assert tokens["in"] == sum(tokens["out"].values()) + sum(tokens["left"].values())
    assert tokens["control"] == {"<|im_end|>": 2, "<|im_start|>": 2}


def test_a_tokenizer_without_a_chat_template_fails_as_check_refuses_it(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coder = tiny.tokenizer()
    coder.chat_template = None
    coder.save_pretrained("bare")
    code, out, _ = audit(capsys, "clean.jsonl", "--tokenizer", "bare")
    assert code == 1 and out.splitlines()[-1] == "1 check fails: no_template"
    assert "with --chat-template here and template.chat_template in a project" in " ".join(out.split())
    assert audit(capsys, "clean.jsonl", "--tokenizer", "bare", "--chat-template", "plain")[0] == 0


@pytest.mark.parametrize("length", [24, 25])
def test_the_limit_is_the_longest_row_that_passes(
    length: int, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = json.loads(audit(capsys, "clean.jsonl", "--tokenizer", "tok", "--json")[1])["lengths"]["max"]
    assert audit(capsys, "clean.jsonl", "--tokenizer", "tok", "--max-length", str(whole + length - 24))[0] == 0
    assert (
        audit(capsys, "clean.jsonl", "--tokenizer", "tok", "--max-length", str(whole + length - 25))[0] == 25 - length
    )


@pytest.mark.parametrize(("objective", "code"), [("sft", 0), ("dpo", 1), ("kto", 1), ("text", 1)])
def test_rows_must_be_of_the_kind_that_the_objective_trains_on(
    objective: str, code: int, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code, out, _ = audit(capsys, "clean.jsonl", "--tokenizer", "tok", "--objective", objective)
    assert exit_code == code
    assert ("does not train on rows of the kind messages" in " ".join(out.split())) == bool(code)
    assert out.splitlines()[-1] == ("2 checks fail: objective, no_rows" if code else "Every check passes.")


def test_rows_that_a_run_leaves_out_by_itself_are_named_with_what_is_left(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("rows.jsonl", CLEAN, CLEAN | {"id": "b"}, OPEN)
    *_, by_clean, left, verdict = audit(capsys, "rows.jsonl", "--tokenizer", "tok")[1].splitlines()
    assert by_clean == "A run leaves such rows out by itself, up to the share of clean.max_loss: no_answer 1."
    assert left == "Rows to train, validate and test on: 2 of 3, with duplicates."
    assert verdict == "1 check fails: no_answer"
    write("rows.jsonl", CLEAN, LONG)
    assert "by itself" not in audit(capsys, "rows.jsonl", "--tokenizer", "tok")[1], "a long row stops a run"


def test_one_check_fails(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("rows.jsonl", CLEAN, {"colour": "red"})
    assert audit(capsys, "rows.jsonl", "--tokenizer", "tok")[1].splitlines()[-1] == "1 check fails: unknown_shape"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "none.jsonl: no such file or folder."),
        ("noise.bin", b"\x00\xff\x01", "noise.bin: not a known kind of data file"),
        ("noise.jsonl", b"\x00\xff\x01\n" * 9, "noise.jsonl: the content is not text"),
        ("noise.parquet", b"\x00\xff\x01\n" * 9, "noise.parquet: not a readable Parquet file"),
    ],
)
def test_data_that_are_none_are_bad_use(
    name: str, content: bytes | None, message: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    code, out, error = audit(capsys, name, "--tokenizer", "tok")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"temper audit: {message}")


@pytest.mark.parametrize("content", ["", "[]\n", "not json\n"])
def test_data_without_a_row_fail(content: str, workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.jsonl").write_text(content)
    code, out, error = audit(capsys, "rows.jsonl", "--tokenizer", "tok", "--json")
    assert (code, error) == (1, "")
    assert "no_rows" in {finding["check"] for finding in json.loads(out)["findings"]}


SPOILT = {
    "tokenizer.json": ("{", "the tokenizer cannot be loaded"),
    "config.json": ("{", "the tokenizer cannot be loaded"),
    "config.json, a list": ("[1]", "the tokenizer cannot be loaded"),
    "config.json, a word": (
        '{"max_position_embeddings": "many"}',
        "tok/config.json: max_position_embeddings = 'many' is not a number of tokens; restore it.",
    ),
    "generation_config.json": ("[1", "tok/generation_config.json: not valid JSON"),
    "chat_template.jinja": ("{% if %}", "not valid Jinja"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_tokenizer_is_bad_use(name: str, workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = SPOILT[name]
    Path("tok", name.split(",")[0]).write_text(content)
    code, out, error = audit(capsys, "clean.jsonl", "--tokenizer", "tok")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error


def test_what_is_missing_is_said(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bare").mkdir()
    Path("utf16.jinja").write_bytes("{{ x }}".encode("utf-16"))
    tries = {
        (): "give either DATA or --template FILE",
        ("clean.jsonl",): "--tokenizer is missing",
        ("clean.jsonl", "--template", "utf16.jinja"): "give either DATA or --template FILE",
        ("clean.jsonl", "--tokenizer", "bare"): "bare: there is no tokenizer in this folder",
        ("clean.jsonl", "--tokenizer", "./none"): "./none: no such folder with a tokenizer",
        ("clean.jsonl", "--tokenizer", "tok", "--max-length", "0"): "a whole number of tokens, at least 2",
        ("clean.jsonl", "--tokenizer", "tok", "--objective", "rl"): "invalid choice: 'rl'",
        ("clean.jsonl", "--tokenizer", "tok", "--chat-template", "no.jinja"): "no.jinja: no such template",
        ("clean.jsonl", "--tokenizer", "tok", "--chat-template", "utf16.jinja"): "utf16.jinja: not UTF-8 text",
        ("--template", "utf16.jinja"): "utf16.jinja: not UTF-8 text",
        ("--template", "none.jinja"): "none.jinja: no such file",
        ("--template", "bare"): "bare: no such file",
    }
    for arguments, message in tries.items():
        code, out, error = audit(capsys, *arguments)
        assert (code, out) == (2, ""), arguments
        assert message in error.splitlines()[-1], arguments


def test_a_template_by_itself(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("good.jinja").write_text(tiny.CHATML)
    Path("bad.jinja").write_text(tiny.CHATML.replace("message['content'] +", "message['content'] | trim +"))
    Path("none.jinja").write_text("{{ messages[0].nothing.more }}")
    results = {name: audit(capsys, "--template", f"{name}.jinja", "--json") for name in ("good", "bad", "none")}
    assert {name: result[0] for name, result in results.items()} == {"good": 1, "bad": 1, "none": 1}
    reports = {name: json.loads(out) for name, (_, out, _) in results.items()}
    failing = {
        name: {slug for slugs in result["dialogues"].values() for slug in slugs} for name, result in reports.items()
    }
    assert failing["good"] == {"coverage"}  # of calls of tools and reasoning apart, which ChatML does not write
    assert failing["bad"] == {"coverage", "indentation", "trimmed"}
    assert failing["none"] == {"unrenderable"}
    assert reports["good"]["dialogues"]["control tokens quoted"] == []
    with_tokenizer = audit(capsys, "--template", "good.jinja", "--tokenizer", "tok", "--json")
    assert json.loads(with_tokenizer[1])["dialogues"] == reports["good"]["dialogues"]


@pytest.mark.parametrize("module", [pytest.param("tasks.audit", marks=pytest.mark.long), "flows.cli.main"])
def test_from_an_empty_folder_as_a_process(module: str, workdir: Path) -> None:
    """As a user starts it, `temper audit` too; nothing is left behind, and no torch is imported."""
    before = sorted(Path().rglob("*"))
    command = [sys.executable, "-P", "-m", module, *(["audit"] if module == "flows.cli.main" else [])]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "HF_HUB_OFFLINE": "1", "PYTHONPROFILEIMPORTTIME": "1"}
    codes = []
    for more in (["clean.jsonl", "--tokenizer", "tok"], ["clean.jsonl", "--tokenizer", "no-such-model"]):
        done = subprocess.run(
            [*command, *more], cwd=workdir, env=environment, capture_output=True, text=True, check=False
        )
        codes.append(done.returncode)
        assert "Traceback" not in done.stderr
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
        assert "transformers" in imported or done.returncode
        assert not imported & {"torch", "torch.nn"}
    assert codes == [0, 2]
    assert (
        "no-such-model: there is no such folder here, and it cannot be downloaded (HF_HUB_OFFLINE is set)"
        in done.stderr
    )
    assert sorted(Path().rglob("*")) == before


def test_odd_rows_are_findings_and_never_a_traceback(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        "rows.jsonl",
        *({**CLEAN, "tools": tools} for tools in ("no JSON", 5, [1, None, {"function": "x"}], {"name": "x"})),
        {"id": "\x1b[31m", "text": "<|im_end|>"},
        {"messages": [{"role": "user", "content": {"a": 1}}, None]},
        {"messages": CLEAN["messages"], "weight": "x"},
    )
    code, out, error = audit(capsys, "rows.jsonl", "--tokenizer", "tok")
    assert (code, error) == (1, "")
    assert "\x1b" not in out
