"""Rows of dialogues to token ids and labels by a peer: `python -m benchmarks.peers.preprocessing WAY PLACE`.

All read the same rows with the tokenizer of Llama 3.1 and write their tokens to disk, in one process; each renders them
with its own template of Llama 3. What is counted is the seconds of processors from the rows in a file to the tokens in
another one, and not what a way imports. The last line of the output is an object with `rows`, `tokens`, `processor`.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 131_072
"""Tokens of the longest row; none is cut."""

ROLES = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
         "observation_tag": "tool", "function_tag": "function", "system_tag": "system"}  # fmt: skip


def lay_out(place: Path, source: Path, tokenizer: Path) -> None:
    """Write the rows of `source` as temper's stage `clean` does, and as dialogues in OpenAI's form; and a base."""
    import pyarrow.parquet as pq

    from benchmarks import template
    from tasks.rows.canonical import turns

    template.lay_base(place / "base", tokenizer)
    template.lay_rows(source, place, None)
    with (place / "rows.jsonl").open("w") as file:
        for row in pq.read_table(place / "data/clean/train.parquet").to_pylist():
            tools = {"tools": row["tools"]} if row["tools"] else {}
            file.write(json.dumps({"messages": turns(row["messages"]), **tools}) + "\n")


def temper(place: Path) -> Callable[[], tuple[int, int]]:
    """The stage `template` but for its tokenizer and report, with all of its checks, in this process."""
    import pyarrow.parquet as pq

    from tasks.chat.stops import stop_ids
    from tasks.core.paths import Paths
    from tasks.engine.chosen import Local
    from tasks.template.preview import Preview
    from tasks.template.rows import Templater
    from tasks.template.run import LOST, split
    from tasks.template.settings import Settings
    from tasks.template.tokenizer import load

    settings = Settings(max_loss=1)
    tokenizer, _ = load(place / "base", settings)

    def work() -> tuple[int, int]:
        templater = Templater(tokenizer, settings, stop_ids(place / "base", tokenizer), LIMIT, None)
        with pq.ParquetWriter(place / "lost.parquet", LOST) as lost:
            account = split("train", templater, Paths(place), Preview(tokenizer, 8), lost, Local(1))
        return account.rows.came, account.tokens.came

    return work


def llamafactory(place: Path) -> Callable[[], tuple[int, int]]:
    """Its `get_dataset`, which training calls, with the template llama3."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import AutoTokenizer, Seq2SeqTrainingArguments

    folder = place / "llamafactory"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(place / "rows.jsonl", folder)
    with (place / "rows.jsonl").open() as file:
        columns = {"messages": "messages"} | ({"tools": "tools"} if "tools" in json.loads(file.readline()) else {})
    about = {"file_name": "rows.jsonl", "formatting": "openai", "columns": columns, "tags": ROLES}
    (folder / "dataset_info.json").write_text(json.dumps({"rows": about}))
    data = DataArguments(template="llama3", dataset="rows", dataset_dir=str(folder), cutoff_len=LIMIT)
    model = ModelArguments(model_name_or_path=str(place / "base"), cache_dir=str(folder / "cache"))
    training = Seq2SeqTrainingArguments(output_dir=str(folder / "out"), do_train=True, use_cpu=True, report_to="none")
    tokenizer = AutoTokenizer.from_pretrained(place / "base")
    template = get_template_and_fix_tokenizer(tokenizer, data)

    def work() -> tuple[int, int]:
        rows = get_dataset(template, model, data, training, stage="sft", tokenizer=tokenizer)["train_dataset"]
        return len(rows), sum(map(len, rows["input_ids"]))

    return work


def axolotl(place: Path) -> Callable[[], tuple[int, int]]:
    """Its strategy for dialogues, mapped over rows and saved as `axolotl preprocess` does."""
    from axolotl.datasets import TokenizedPromptDataset
    from axolotl.prompt_strategies.chat_template import load
    from axolotl.utils.dict import DictDefault
    from datasets import load_dataset
    from transformers import AutoTokenizer

    folder = place / "axolotl"
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer = AutoTokenizer.from_pretrained(place / "base")
    rows = {"path": str(place / "rows.jsonl"), "type": "chat_template", "field_messages": "messages"}
    settings = {"chat_template": "tokenizer_default", "sequence_len": LIMIT, "train_on_inputs": False}
    strategy = load(tokenizer, DictDefault(settings), DictDefault(rows))

    def work() -> tuple[int, int]:
        source = load_dataset("json", data_files=rows["path"], split="train", cache_dir=str(folder / "cache"))
        tokenized = TokenizedPromptDataset(strategy, source)
        tokenized.save_to_disk(folder / "tokenized")
        return len(tokenized), sum(map(len, tokenized["input_ids"]))

    return work


WAYS: dict[str, Callable[[Path], Callable[[], tuple[int, int]]]] = {
    "temper": temper,
    "llamafactory": llamafactory,
    "axolotl": axolotl,
}
PEERS = tuple(way for way in WAYS if way != "temper")


def main() -> None:
    """One way, in this process."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    way, place = sys.argv[1], Path(sys.argv[2])
    if way == "make":
        lay_out(place, *map(Path, sys.argv[3:]))
        return
    work: Any = WAYS[way](place)
    start = time.process_time()
    rows, tokens = work()
    print(json.dumps({"rows": rows, "tokens": tokens, "processor": time.process_time() - start}))


if __name__ == "__main__":
    main()
