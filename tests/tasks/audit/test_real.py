"""No false alarms: public data under public tokenizers are clean, or what is found is so."""

import json
from pathlib import Path

import pytest

from tasks.audit.__main__ import main

DATA = Path(__file__).parents[4] / "shared" / "data"
FILES = ("chat/chat_sgd_train.jsonl", "chat/alpaca_en_demo.json", "docker/docker_commands_train.jsonl")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not DATA.is_dir(), reason="the public data are not at ../shared/data"),
]


@pytest.mark.parametrize("tokenizer", ["llama-3.1", "phi-3"])
@pytest.mark.parametrize("file", FILES)
def test_public_data_have_no_false_alarms(file: str, tokenizer: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--tokenizer", str(DATA / "tokenizers" / tokenizer), "--max-length", "8192", "--json"]
    code = main([str(DATA / file), *options])
    report = json.loads(capsys.readouterr().out)
    rows_by_check = {finding["check"]: finding["rows"] for finding in report["findings"]}
    # phi-3's template ends turns in another token than the tokenizer's end token
    expected = {"end_token": 0} if tokenizer == "phi-3" else {}
    if (tokenizer, file) == ("phi-3", FILES[0]):  # and it has no place for tools, calls and their results
        expected |= {"coverage": report["rows"], "no_rows": 0}
    assert rows_by_check == expected
    assert code == ("coverage" in expected)
