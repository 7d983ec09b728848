"""A project in small: a random 2-layer Llama, a byte-level BPE with ChatML, an adapter, rows, and the data layout.

Everything is made here in a second or two; nothing is downloaded. Each function takes the place to write to. What is
the same each time is made once a process and copied, with the state of torch's generator that making it leaves.
"""

import atexit
import json
import shutil
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from tasks.core.files import write_json, write_text
from tasks.core.paths import Paths
from tasks.core.settings import Settings
from tasks.models.record import describe, identity

Section = TypeVar("Section", bound=Settings)

CHATML = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['role'] == 'assistant' -%}{%- generation -%}{{- message['content'] + '<|im_end|>' -}}"
    "{%- endgeneration -%}{%- else -%}{{- message['content'] + '<|im_end|>' -}}{%- endif -%}{{- '\\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
EVIL = '<script>alert(1)</script> & "quotes" | pipe'
"""What data may hold and no page may run."""

NAMES = ("web", "db", "cache", "proxy", "queue", "mail", "front", "auth")
ASKED = {"start": "docker start", "stop": "docker stop", "remove": "docker rm -f", "show logs of": "docker logs -f"}


def conversations() -> list[list[dict[str, str]]]:
    """Thirty-two requests, each with its command."""
    return [
        [{"role": "user", "content": f"{verb} {name}"}, {"role": "assistant", "content": f"{command} {name}"}]
        for verb, command in ASKED.items()
        for name in NAMES
    ]


def tokenizer() -> Any:
    """Byte-level BPE of at most 320 tokens with ChatML; `<|im_end|>` ends a turn and is eos."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        (turn["content"] for row in conversations() for turn in row),
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    coder = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>"],
        model_max_length=256,
    )
    coder.chat_template = CHATML
    return coder


def pieces(controls: Collection[str]) -> Any:
    """Like sentencepiece: spaces become `▁`, one is put before each text, other characters fall back to bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdehkoprst"]
    names += ["▁s", "st", "▁d"]
    merges = [("▁", "s"), ("s", "t"), ("▁", "d")]
    vocabulary = {name: number for number, name in enumerate(names)}
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    coder = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    coder.add_special_tokens({"additional_special_tokens": list(controls)})
    return coder


OTHER_CHAT = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}[bot]{% endif %}"
)


def other_tokenizer() -> Any:
    """Byte-level BPE of single bytes and a few pieces, in another order than `tokenizer`; `</s>` ends a turn."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["</s>", *sorted(pre_tokenizers.ByteLevel.alphabet(), reverse=True), "do", "er", "Ġs", "we"]
    merges = [("d", "o"), ("e", "r"), ("Ġ", "s"), ("w", "e")]
    backend = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    coder = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="</s>")
    coder.chat_template = OTHER_CHAT
    return coder


def other_teacher(folder: Path) -> None:
    """Save a random model with the tokens of `other_tokenizer`."""
    coder = other_tokenizer()
    model(folder, vocabulary=len(coder), hidden_size=32, initializer_range=0.3)
    coder.save_pretrained(folder)


_kept: dict[str, tuple[Path, Any]] = {}
"""What was made: by its arguments the folder, and the state of torch's generator behind it."""


def copied(folder: Path, arguments: str, make: Callable[[Path], object]) -> Path:
    """Copy to `folder` what `make` makes for these arguments, which it does once; return where."""
    if arguments not in _kept:
        place = Path(mkdtemp(prefix="temper-tiny-")) / "made"
        atexit.register(shutil.rmtree, place.parent, ignore_errors=True)
        place.mkdir()
        make(place)
        torch = sys.modules.get("torch")
        _kept[arguments] = place, torch and torch.get_rng_state()
    place, state = _kept[arguments]
    shutil.copytree(place, folder, copy_function=shutil.copy, dirs_exist_ok=True)
    if state is not None:
        sys.modules["torch"].set_rng_state(state)
    return place


def model(folder: Path, *, vocabulary: int, tied: bool = True, dtype: str = "float32", **shape: Any) -> Path:
    """Save a random Llama, 2 layers and 64 wide unless `shape` says otherwise, with 2 of 4 heads for keys."""
    copied(folder, f"{vocabulary} {tied} {dtype} {shape}", lambda place: _model(place, vocabulary, tied, dtype, shape))
    return folder


def _model(folder: Path, vocabulary: int, tied: bool, dtype: str, shape: dict[str, Any]) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        **{
            "vocab_size": vocabulary,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "tie_word_embeddings": tied,
            "initializer_range": 0.2,
            "bos_token_id": None,
            "eos_token_id": 2,
            "pad_token_id": 0,
            **shape,
        }
    )
    LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(folder)


def adapter(folder: Path, base: Path, *, scale: float = 0.05) -> Path:
    """Save a LoRA adapter on every linear layer of `base` whose two factors are random, so that it changes logits."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear"),
    )
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_" in name:
                weight.normal_(std=scale)
    tuned.save_pretrained(folder)
    (folder / "README.md").unlink()
    return folder


def rows(split: str, chats: list[list[dict[str, str]]]) -> Any:
    """Canonical rows as an Arrow table; test rows alternate between the two slices."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    slices = ["new_phrasing", "new_combination"]
    return pa.table(
        {
            "id": pa.array([f"{split}{number:011x}" for number in range(len(chats))], pa.string()),
            "source": pa.array(["tiny"] * len(chats), pa.string()),
            "split": pa.array([split] * len(chats), pa.string()),
            "slice": pa.array(
                [slices[number % 2] if split == "test" else None for number in range(len(chats))], pa.string()
            ),
            "messages": pa.array(chats, pa.list_(message)),
            "text": pa.array([None] * len(chats), pa.string()),
        }
    )


def templated(path: Path, coder: Any, table: Any) -> None:
    """Write the rows of `table` as token ids and labels (Arrow IPC stream)."""
    import pyarrow as pa

    ids = [
        coder(coder.apply_chat_template(chat, tokenize=False), add_special_tokens=False)["input_ids"]
        for chat in table.column("messages").to_pylist()
    ]
    columns = pa.table(
        {
            "id": table.column("id"),
            "input_ids": pa.array(ids, pa.list_(pa.int32())),
            "labels": pa.array(ids, pa.list_(pa.int32())),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, columns.schema) as stream:
        stream.write_table(columns)


def project(root: Path, *, method: str = "lora", dtype: str = "float32", tied: bool = True) -> Paths:
    """Lay out everything that stands before `merge`: base, clean and templated rows, and what was trained.

    `method`: lora puts an adapter into data/trained, full a whole model, none nothing.
    """
    paths = Paths(root)
    place = copied(root, f"{method} {dtype} {tied}", lambda place: _project(Paths(place), method, dtype, tied))
    if method == "lora":
        file = paths.trained / "adapter_config.json"
        write_text(file, file.read_text().replace(str(place), str(root)))
    return paths


def _project(paths: Paths, method: str, dtype: str, tied: bool) -> None:
    import pyarrow.parquet as pq

    coder = tokenizer()
    coder.save_pretrained(paths.templated / "tokenizer")
    base = model(paths.base / "model", vocabulary=len(coder), tied=tied, dtype=dtype)
    coder.save_pretrained(base)
    record(paths, base, "trained", "model")
    chats = conversations()
    paths.clean.mkdir(parents=True)
    for split, part in (("train", chats[:20]), ("validation", chats[20:24]), ("test", chats[24:])):
        table = rows(split, part)
        pq.write_table(table, paths.clean / f"{split}.parquet")
        if split != "test":
            templated(paths.templated / f"{split}.arrow", coder, table)
    if method == "lora":
        adapter(paths.trained, base)
    elif method == "full":
        model(paths.trained, vocabulary=len(coder), tied=tied, initializer_range=0.21)


def guides(paths: Paths) -> None:
    """Fill data/guides: a function that likes vowels (`taste.py:taste`), a reward model `liked`, a model `teacher`."""
    from transformers import AutoModelForSequenceClassification

    coder = tokenizer()
    write_text(
        paths.guides / "taste.py",
        "def taste(prompt, answer, reference):\n    return sum(c in 'aeiou' for c in answer) / (len(answer) or 1)\n",
    )
    model(paths.guides / "teacher", vocabulary=len(coder), initializer_range=0.3)
    liked = model(paths.guides / "liked", vocabulary=len(coder))
    AutoModelForSequenceClassification.from_pretrained(liked, num_labels=1, pad_token_id=0).save_pretrained(liked)
    coder.save_pretrained(liked)


def record(paths: Paths, folder: Path, kind: str, location: str) -> None:
    """Write `base.json` for the model in `folder`."""
    files = describe(folder)
    write_json(
        paths.base / "base.json",
        {"kind": kind, "location": location, "revision": None, "files": files, "sha256": identity(files)},
    )


def ledgers(paths: Paths) -> None:
    """Write what the stages before `merge` tell about themselves, as the report reads it."""
    write_json(
        paths.generated / "ledger.json", {"unit": "rows", "in": 40, "out": {"rows": 36}, "left": {"no answer": 4}}
    )
    write_json(paths.generated / "settings.json", {"recipe": "docker", "seed": 7})
    write_text(paths.generated / "rows.jsonl", "")
    write_json(
        paths.clean / "ledger.json",
        {
            "unit": "rows",
            "in": 36,
            "out": {"train": 20, "validation": 4, "test": 8},
            "left": {"duplicate": 4},
            "reported": {"conflicting_answers": 3, "refusal": 1},
            "settings": {"validation": 0.1},
        },
    )
    write_json(
        paths.clean / "profile.json",
        {
            "characters": {
                "edges": [0, 10, 20],
                "rows": {"train": [4, 16, 0], "validation": [4, 0, 0], "test": [8, 0, 0]},
            },
            "sources": {"rows.jsonl": 30, "more.jsonl": 2},
            "other_sources": 0,
            "left_out": {"duplicate": [{"file": "rows.jsonl", "line": 7, "row": f'{{"text": "{EVIL}"}}'}]},
            "reported": {"refusal": [{"file": "rows.jsonl", "line": 9, "shown": f"Sorry, I can't {EVIL}"}]},
            "clusters": [{"rows": 9, "example": f"nine alike {EVIL}"}],
        },
    )
    write_json(paths.base / "settings.json", {"folder": "data/seed"})
    write_json(
        paths.templated / "audit.json",
        {
            "splits": {
                split: _split(*counts) for split, counts in (("train", (20, 400, 140)), ("validation", (4, 80, 28)))
            },
            "max_length": {"tokens": 256, "source": "context of the base"},
            "made_right": {"no_pad": f"no pad token {EVIL}"},
            "packing": None,
            "checks": {"coverage": 0, "trimmed": 1},
            "settings": {"max_length": 256},
        },
    )
    write_text(paths.templated / "preview.html", "<section><p>user: <mark>docker start web</mark></p></section>\n")
    write_text(
        paths.trained / "loss.csv",
        "step,loss,learning_rate,grad_norm,eval_loss\n"
        + "".join(
            f"{step},{5 / (step / 10 + 1):.4f},0.005,1.2,{'2.5' if step == 50 else ''}\n" for step in range(10, 60, 10)
        ),
    )
    write_json(
        paths.trained / "training.json",
        {"rows": 20, "tokens": 400, "supervised_tokens": 140, "steps": 50, "method": "lora", "arguments": {"seed": 42}},
    )
    write_json(
        paths.trained / "settings.json", {"method": "lora", "learning_rate": 0.005, "lora": {"r": 4, "alpha": 8}}
    )


def _split(rows: int, tokens: int, supervised: int) -> dict[str, Any]:
    """What the audit says of a split."""
    finding = {"check": "trimmed", "severity": "warning", "rows": 1, "examples": [EVIL], "message": f"space {EVIL}"}
    return {
        "rows": {"unit": "rows", "in": rows, "out": {"rows": rows}, "left": {}},
        "tokens": {
            "unit": "tokens",
            "in": tokens,
            "out": {"trained": supervised, "masked": tokens - supervised},
            "left": {},
        },
        "trained": {"rows": rows, "tokens": tokens, "supervised_tokens": supervised},
        "lengths": {
            "p50": 20,
            "p90": 20,
            "p99": 20,
            "max": 20,
            "histogram": {"edges": [0, 16, 32], "rows": [0, rows, 0]},
        },
        "findings": [finding] if rows == 20 else [],
        "trained_errors": {},
    }


def changed(settings: Section, **values: Any) -> Section:
    """The same settings with other values."""
    return type(settings).model_validate({**settings.model_dump(), **values})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def loaded(folder: Path) -> Any:
    """The model in a folder, as float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def read(path: Path) -> Any:
    """A JSON file's value."""
    return json.loads(path.read_text())


def evaluation(
    paths: Paths,
    candidate: str,
    scored: dict[str, list[float]],
    outputs: list[str],
    classes: tuple[list[str], list[str | None]] | None = None,
    lists: bool = False,
) -> None:
    """Write what the stage evaluate leaves of `candidate`: its scores by metric on the last test rows.

    `classes`: of the references and answers, for the metric classification; `lists`: JSON lists, for multilabel.
    """
    from tasks.evaluate.candidates import kind
    from tasks.evaluate.predictions import write
    from tasks.evaluate.scores import scores
    from tasks.evaluate.settings import Metric, Settings
    from tasks.rows.columns import class_columns
    from tasks.rows.label_lists import as_sets
    from tasks.statistics.confusion import confusion
    from tasks.statistics.label_table import label_table

    kind_of_classes = "multilabel" if lists else "classification"
    names = [*(name for name in scored if not name.endswith("_tokens")), *([kind_of_classes] if classes else [])]
    metrics = [Metric.model_validate({"kind": name}) for name in names]
    by_class: dict[str, list[Any]] = {}
    if classes:
        right = [float(one == other) for one, other in zip(*classes, strict=True)]
        by_class = dict.fromkeys(metrics[-1].scores, right)
        by_class |= dict(zip(class_columns(kind_of_classes), classes, strict=True))
    chats = [conversations()[24 + number % 8] for number in range(len(outputs))]
    columns: dict[str, list[Any]] = {
        "id": [f"row{number}" for number in range(len(chats))],
        "slice": [("new_phrasing", "new_combination")[number % 2] for number in range(len(chats))],
        "source": ["tiny"] * len(chats),
        "length": [("short", "long")[number // 4 % 2] for number in range(len(chats))],
        "prompt": [f"<|im_start|>user\n{chat[0]['content']}" for chat in chats],
        "reference": [chat[-1]["content"] for chat in chats],
        "output": outputs,
        "tokens": [5] * len(chats),
        "finish": ["stop"] * len(chats),
        **scored,
        **by_class,
    }
    folder = paths.evaluation(candidate)
    folder.mkdir(parents=True)
    write(folder / "predictions.parquet", columns, metrics)
    shots = {"shots": {"3": len(chats)}} if candidate == "base_few_shot" else {}
    facts = {
        "candidate": candidate,
        "kind": kind(candidate, Settings()),
        "too_long": 0,
        "not_asked": 0,
        "no_answer": 0,
        "cut": 0,
        "empty": 0,
        "drawn": {"rows": len(chats), "of": len(chats), "by": "all"},
        "left_out": {},
        "classes": {
            kind_of_classes: label_table(*(as_sets(part) for part in classes)) if lists else confusion(*classes)
        }
        if classes
        else {},
        **shots,
    }
    write_json(folder / "scores.json", {**facts, **scores(metrics, columns)})
    write_json(folder / "settings.json", {"batch_size": 32, "max_new_tokens": None})


def benchmark(paths: Paths, candidate: str, right: int, prompts: str = "same") -> None:
    """Write what a benchmark of 40 questions leaves of `candidate`, the first `right` of them answered rightly."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    score = {"value": right / 40, "low": 0.0, "high": 1.0, "n": 40, "better": "higher"}
    facts = {
        "shots": 0,
        "chat_template": True,
        "truncated": 0,
        "cut": 0,
        "among_the_examples": 0,
        "prompts": prompts,
        "drawn": {"rows": 6, "of": 20, "by": "answer"},
    }
    write_json(paths.evaluation(candidate) / "benchmarks.json", {"arc": {"metrics": {"acc": score}, **facts}})
    rows = [{"task": "arc", "number": number, "scores": f'{{"acc": {float(number < right)}}}'} for number in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), paths.evaluation(candidate) / "samples.parquet")


def judged(paths: Paths, candidate: str) -> None:
    """Write what the stage judge leaves of `candidate`: two wins, a loss, a verdict that turns, and a row without."""
    from tasks.judge.pairs import Pair, combine_verdicts
    from tasks.judge.run import write
    from tasks.judge.tally import tally

    verdicts = [("win", "win"), ("win", "win"), ("loss", "loss"), ("win", "loss"), (None, "tie")]
    rows: list[dict[str, Any]] = [
        {"pair": Pair(f"row{number}", "start web", "a", "a b", "a"), "first": one, "second": two,
         "verdict": combine_verdicts(one, two), "said_first": f"{EVIL} first {one}", "said_second": f"second {two}",
         "output": "a b", "against": "a", "score": {"exact_match": 1.0}}
        for number, (one, two) in enumerate(verdicts)
    ]  # fmt: skip
    folder = paths.judged(candidate)
    write_json(folder / "judged.json", {"candidate": candidate, "against": "base", "judge": "big", **tally(rows)})
    write_json(folder / "settings.json", {"against": "base", "reference": True})
    write(folder / "judgements.parquet", rows)


def decided(paths: Paths, **settings: Any) -> Any:
    """Run the stage decide; return decision.json."""
    from tasks.decide import stage as decide

    decide.run(decide.Settings(**settings), paths)
    return read(paths.decision / "decision.json")
