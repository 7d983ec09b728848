"""Adapters, bases and records that lie, before `merge` and `base`."""

import json
import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile.fork import Case
from tests.hostile.mutations import broken_json, spoiled_bytes, spoiled_json

TRAINED, BASE = Path("data/trained"), Path("data/base")
ADAPTER, CONFIG, TRAINING = (
    TRAINED / name for name in ("adapter_model.safetensors", "adapter_config.json", "training.json")
)
RECORD, MODEL = BASE / "base.json", BASE / "model"
WEIGHTS = "model.safetensors"

Header = dict[str, Any]


def prepare(project: Path) -> None:
    """Fill an empty folder with all that `merge` reads, and load what it loads."""
    import tasks.base.record
    import tasks.merge.run
    import tasks.merge.whole
    from tests.flows.project import ROOT
    from tests.tasks import tiny

    paths = tiny.project(project)
    assert tasks.base.record and tasks.merge.whole and tasks.merge.run
    record = json.loads((paths.base / "base.json").read_text())
    training = {"base": record["sha256"], "rows": 20, "tokens": 400, "steps": 5, "method": "lora", "quantization": None}
    (project / TRAINING).write_text(json.dumps(training))
    shutil.copy(ROOT / "params.yaml", project)
    shutil.copytree(paths.base / "model", project / "model")


def stage(*arguments: str) -> Callable[[], int]:
    """The command of a stage."""

    def run() -> int:
        from tasks.__main__ import main

        return main(list(arguments))

    return run


def base_of_folder(folder: Path) -> None:
    """Have params.yaml name the folder `model` as the base."""
    file = folder / "params.yaml"
    file.write_text(file.read_text().replace("folder: data/seed", "folder: model", 1))


def merge(name: str, change: Callable[[Path], object]) -> Case:
    return Case(f"merge: {name}", change, stage("merge"))


def base(name: str, change: Callable[[Path], object]) -> Case:
    def both(folder: Path) -> None:
        base_of_folder(folder)
        change(folder / "model")

    return Case(f"base: {name}", both, stage("base"))


def recorded(name: str, change: Callable[[Path], object]) -> Case:
    """A base that was recorded as it is, so that it is for later stages to see that it lies."""

    def both(folder: Path) -> None:
        from tasks.core.paths import Paths
        from tests.tasks import tiny

        change(folder / MODEL)
        tiny.record(Paths(folder), folder / MODEL, "trained", "model")
        sha = json.loads((folder / RECORD).read_text())["sha256"]
        training = json.loads((folder / TRAINING).read_text())
        (folder / TRAINING).write_text(json.dumps({**training, "base": sha}))

    return Case(f"merge: base {name}", both, stage("merge"))


def put(file: Path, **values: Any) -> Callable[[Path], object]:
    """Put keys into a JSON file of the folder."""
    return lambda folder: (folder / file).write_text(json.dumps({**json.loads((folder / file).read_text()), **values}))


def raw(file: Path | str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes(content)


def header(file: Path | str, change: Callable[[Header], Any]) -> Callable[[Path], object]:
    """Change the header of a safetensors file; a change that returns bytes replaces it."""

    def apply(folder: Path) -> None:
        content = (folder / file).read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        value: Header = json.loads(content[8 : 8 + length])
        result = change(value)
        text = result if isinstance(result, bytes) else json.dumps(value).encode()
        text += b" " * (-len(text) % 8)
        (folder / file).write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])

    return apply


def entry(**facts: Any) -> Callable[[Header], None]:
    """Change the facts of the first tensor."""

    def change(value: Header) -> None:
        value[first(value)].update(facts)

    return change


def first(value: Header) -> str:
    return next(name for name in value if name != "__metadata__")


HEADERS: dict[str, Callable[[Header], Any]] = {
    "a list": lambda header: b"[]      ",
    "a number": lambda header: b"3       ",
    "a text": lambda header: b'"a"     ',
    "null": lambda header: b"null    ",
    "not UTF-8": lambda header: b'{"\xff":1}',
    "deep": lambda header: b"[" * 5000 + b"]" * 5000,
    "very deep": lambda header: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "entry a list": lambda header: header.update({first(header): [1]}),
    "entry null": lambda header: header.update({first(header): None}),
    "type unknown": entry(dtype="F99"),
    "type a number": entry(dtype=3),
    "type a list": entry(dtype=[1]),
    "whole numbers": entry(dtype="I32"),
    **{
        f"shape {shape!r}": entry(shape=shape)
        for shape in ([-1, 4], [2**40, 2**40], "ab", [1.5], None, [1], [True], [0], [], [2**63, 2**63], [-4, -64])
    },
    **{
        f"offsets {offsets!r}": entry(data_offsets=offsets)
        for offsets in ([-100, 10], [10**9, 10**9 + 100], "x", [], [100, 0], [0.5, 2], [0, 4], None, [2**70, 2**71])
    },
    "a name with HTML": lambda header: header.update({"<script>": header.pop(first(header))}),
    "a tensor less": lambda header: header.pop(first(header)) and None,
    "a tensor more": lambda header: header.update({"evil.weight": dict(header[first(header)])}),
    "metadata a list": lambda header: header.update(__metadata__=[1]),
    "all at one place": lambda header: [
        facts.update(data_offsets=[0, facts["data_offsets"][1] - facts["data_offsets"][0]])
        for name, facts in header.items()
        if name != "__metadata__"
    ]
    and None,
}  # fmt: skip
"""Headers of safetensors files that lie."""

ADAPTERS: dict[str, dict[str, Any]] = {
    "peft_type": {"values": ["EVIL", None, [1], {}, "IA3", "BOFT", "lora", 3]},
    "r": {"values": [0, -4, 10**9, "x", 3, None, [4], 1.5, True]},
    "lora_alpha": {"values": [float("nan"), "x", 1e308, None, [], float("inf"), -1]},
    "target_modules": {"values": [[], ["nope"], "(.*)*(.*)*(.*)*x$", "(", "(a|a)*$", None, {}, 3, [3], [None],
        "(\\w+\\s?)*!"]},
    "modules_to_save": {"values": [["nope"], "lm_head", [3], {}, ["lm_head", None]]},
    "auto_mapping": {"values": [{"base_model_class": "Evil", "parent_library": "os"}, [1], "x"]},
    "base_model_name_or_path": {"values": ["/etc/passwd", None, 3, ["x"], "../.."]},
    "foo": {"values": [{"a": 1}]},
    "rank_pattern": {"values": [{"(": 3}, [1], {"(a+)+$": 3}, {"q_proj": "x"}, {"q_proj": -1}, "x", {"q_proj": 10**9}]},
    "alpha_pattern": {"values": [{"(a+)+$": 3}, {"(.*)*(.*)*x$": 3}, [1], {"q_proj": None}]},
    "fan_in_fan_out": {"values": [True, "x"]},
    "use_dora": {"values": [True, "x", None]},
    "use_rslora": {"values": [True, "x"]},
    "init_lora_weights": {"values": ["pissa", "nope", "corda", "loftq", "eva", 3, None, [1], "olora", "orthogonal",
        "pissa_niter_x"]},
    "megatron_config": {"values": [{"a": 1}, "x"]},
    "layers_to_transform": {"values": [[0], [10**9], "x", [-1], 3, {}]},
    "layers_pattern": {"values": ["(", "(.*)*x", [1]]},
    "trainable_token_indices": {"values": [[10**9], [-1], "x", {"a": 1}, [1.5]]},
    "layer_replication": {"values": [[[0, 10**9]], "x"]},
    "task_type": {"values": ["EVIL", None, 3, "SEQ_CLS"]},
    "exclude_modules": {"values": ["(", "(.*)*(.*)*x$", [3], {}]},
    "bias": {"values": ["all", "nope", 3]},
    "lora_bias": {"values": [True, "x"]},
    "target_parameters": {"values": [["nope"], "x", [3]]},
    "revision": {"values": ["x", 3, [1]]},
    "loftq_config": {"values": [{"a": 1}, 3]},
    "eva_config": {"values": [{"a": 1}, 3]},
    "runtime_config": {"values": [{"a": 1}, 3]},
    "inference_mode": {"values": ["x", 3]},
    "lora_dropout": {"values": ["x", -1, 2, None]},
    "alora_invocation_tokens": {"values": [[], "x", 3]},
    "ensure_weight_tying": {"values": [True, "x"]},
}  # fmt: skip
"""Keys of adapter_config.json, and what they may not be."""

BASES: dict[str, list[Any]] = {
    "vocab_size": [10, 10**6, 0, -1, "x", 10**12, None, [1], 1.5],
    "hidden_size": [64, 0, 128, -64, "x", 10**9, 63],
    "num_attention_heads": [0, 3, -1, "x", 10**9, None],
    "num_key_value_heads": [0, 3, "x", 8],
    "num_hidden_layers": [3, 1, 0, 10**5, 10**9, -1, "x", 1.5],
    "intermediate_size": [0, 1, "x", 10**12],
    "head_dim": [0, 7, "x", 10**9],
    "hidden_act": ["evil", 3, None, [1]],
    "rope_parameters": [{"rope_type": "nope"}, "x", {"rope_type": "yarn"}, {"rope_theta": "x"}, [1], {"rope_theta": 0}],
    "model_type": ["gpt2", "evil", 3, None, "../x", "bert", "t5", "mamba"],
    "tie_word_embeddings": [False, "x"],
    "max_position_embeddings": [1, 0, -1, "x", 10**12],
    "dtype": ["float99", 3, "os", "int8", [1], "nn", "__name__"],
    "quantization_config": [{"quant_method": "evil"}, {"quant_method": "gptq", "bits": 4}, "x", {}, [1], {"bits": 4}],
    "auto_map": [{"AutoModelForCausalLM": "evil.M"}, "x", {"AutoConfig": "evil.C"}],
    "rms_norm_eps": ["x", 0, -1, float("nan"), 1e308],
    "_attn_implementation": ["evil", 3],
    "attn_implementation": ["evil", "flash_attention_2"],
    "architectures": [["os.system"], "x", [3], []],
    "text_config": [{"a": 1}, 3, "x"],
    "layer_types": [["evil"], "x", []],
    "pad_token_id": [10**9, -5, "x", [1]],
    "eos_token_id": ["x", [10**9], {}],
    "initializer_range": ["x", -1],
    "attention_bias": [True, "x"],
    "mlp_bias": [True],
    "use_cache": ["x"],
    "transformers_version": [3, "x", [1]],
    "torch_dtype": ["float99", 3],
    "is_encoder_decoder": [True],
    "pruned_heads": [{"a": 1}, "x"],
    "id2label": ["x", {"a": {}}],
    "num_labels": ["x", 10**9],
}
"""Keys of config.json, and what they may not be."""


def fixed() -> Iterator[Case]:
    """The inputs that are the same for every seed."""
    for name, change in HEADERS.items():
        yield merge(f"adapter header {name}", header(ADAPTER, change))
        yield base(f"header {name}", header(WEIGHTS, change))
        yield recorded(f"header {name}", header(WEIGHTS, change))
    for key, values in ADAPTERS.items():
        for value in values["values"]:
            yield merge(f"adapter {key} = {value!r}", put(CONFIG, **{key: value}))
    for key, odd in BASES.items():
        for value in odd:
            yield recorded(f"{key} = {value!r}", put(Path("config.json"), **{key: value}))
    for file in (ADAPTER, MODEL / WEIGHTS):
        for name, content in (("empty", b""), ("length huge", struct.pack("<Q", 2**63)), ("length 0", bytes(8))):
            yield merge(f"{file.name} {name}", raw(file, content))
    yield from _files()


def _files() -> Iterator[Case]:
    """What stands where a file should."""
    index = "model.safetensors.index.json"
    for text in (
        '{"weight_map": {"a": "../../../../etc/passwd"}}', "{", "[]", '{"weight_map": null}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": [1]}', '{"weight_map": {"a": "model.safetensors"}}', "null",
        '{"weight_map": {"a": "/dev/zero"}}',
    ):  # fmt: skip
        yield base(f"index {text}", raw(index, text.encode()))
        yield recorded(f"index {text}", raw(index, text.encode()))
    yield base(
        "weights linked to /dev/zero",
        lambda model: _instead(model / WEIGHTS, lambda target, file: file.symlink_to(target), "/dev/zero"),
    )
    yield base("weights a FIFO", lambda model: _instead(model / WEIGHTS, lambda _, file: os.mkfifo(file), ""))
    yield base("config a folder", lambda model: _instead(model / "config.json", lambda _, file: file.mkdir(), ""))
    yield merge("adapter config a folder", lambda at: _instead(at / CONFIG, lambda _, file: file.mkdir(), ""))
    yield merge(
        "adapter linked to itself",
        lambda at: _instead(at / ADAPTER, lambda target, file: file.symlink_to(target), ADAPTER.name),
    )
    for location in ("../../../../etc", "/", "nope", 3, None, ["x"], "model/../../.."):
        yield merge(f"base.json location {location!r}", put(RECORD, location=location, files={}))
    for value in ({"scheme": "x"}, {}, [1], "x", {"scheme": "nf4", "double_quant": "x"}, {"scheme": None}):
        yield merge(f"training.json quantization {value!r}", put(TRAINING, quantization=value))


def _instead(file: Path, make: Callable[[Any, Path], Any], target: str) -> None:
    file.unlink()
    make(target, file)


def drawn(draw: random.Random) -> Iterator[Case]:
    """Inputs without end, by a seed."""
    while True:
        seed = draw.randrange(2**32)
        file = draw.choice([CONFIG, CONFIG, TRAINING, RECORD, ADAPTER, Path("data/templated/tokenizer/tokenizer.json"),
                            Path("data/templated/tokenizer/tokenizer_config.json")])  # fmt: skip
        model = draw.choice(["config.json", "config.json", "generation_config.json", WEIGHTS, "tokenizer_config.json",
                             "tokenizer.json"])  # fmt: skip
        kind = draw.choice([merge, merge, recorded, recorded, base])
        name = str(file) if kind is merge else model
        yield kind(f"{name} (seed {seed})", _spoiler(name, seed))


def _spoiler(name: str, seed: int) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        draw, file = random.Random(seed), folder / name
        if name.endswith(".json"):
            spoiled_json(draw, file)
            return
        content = file.read_bytes()
        length = struct.unpack("<Q", content[:8])[0]
        if draw.random() < 0.5:
            file.write_bytes(spoiled_bytes(draw, content)[1])
        elif draw.random() < 0.5:  # within the header, where all numbers are
            file.write_bytes(content[:8] + spoiled_bytes(draw, content[8 : 8 + length])[1] + content[8 + length :])
        else:
            header(file, lambda value: broken_json(draw, json.dumps(value).encode())[1])(Path())

    return spoil
