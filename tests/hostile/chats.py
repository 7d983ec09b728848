"""Chat templates that break out, loop or grow, and tokenizers that lie, before `temper audit`."""

import json
import os
import random
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.fork import Case
from tests.hostile.mutations import ODD, spoiled_bytes, spoiled_json
from tests.hostile.rows import ROWS, lines
from tests.hostile.rows import prepare as prepare_rows

PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def prepare(project: Path) -> None:
    """A tokenizer with the sizes of a model, and rows."""
    prepare_rows(project)
    (project / "rows.jsonl").write_bytes(lines(ROWS))
    sizes = {"model_type": "llama", "vocab_size": 320, "max_position_embeddings": 256, "eos_token_id": 2}
    (project / "tokenizer/config.json").write_text(json.dumps(sizes))
    (project / "tokenizer/generation_config.json").write_text(json.dumps({"eos_token_id": 2}))


def audit(*arguments: str) -> Callable[[], int]:
    def run() -> int:
        from tasks.audit.__main__ import main

        return main(list(arguments))

    return run


def template(name: str, text: str | bytes) -> Iterator[Case]:
    """A template by itself, and with rows."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")

    def spoil(folder: Path) -> None:
        (folder / "t.jinja").write_bytes(content)

    yield Case(f"template {name}", spoil, audit("--template", "t.jinja"))
    arguments = ("rows.jsonl", "--tokenizer", "tokenizer", "--chat-template", "t.jinja")
    yield Case(f"template {name}, with rows", spoil, audit(*arguments))


def tokenizer(name: str, change: Callable[[Path], object]) -> Case:
    return Case(
        f"tokenizer {name}", lambda at: change(at / "tokenizer"), audit("rows.jsonl", "--tokenizer", "tokenizer")
    )


def edit(file: str, change: Callable[[Any], Any]) -> Callable[[Path], object]:
    """Change the value in a JSON file."""

    def apply(folder: Path) -> None:
        value = json.loads((folder / file).read_text())
        result = change(value)
        (folder / file).write_text(json.dumps(value if result is None else result))

    return apply


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ namespace.__init__.__globals__['__builtins__'] }}", "{{ ''|attr('__class__')|attr('__mro__') }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}", "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__self__.__class__ }}", "{{ (messages|tojson).__class__ }}", "{{ joiner.__init__.__globals__ }}",
    "{% set _ = messages.append({'role':'user','content':'x'}) %}", "{% set _ = messages[0].clear() %}",
    "{% set _ = messages.pop() %}", "{{ messages|map(attribute='__class__')|list }}", "{% import '/etc/passwd' as x %}",
    "{% include '/etc/passwd' %}", "{% extends 'x' %}", "{{ 1/0 }}", "{{ a.b.c.d }}", "{{ strftime_now(3) }}",
    "{{ strftime_now('%Y' * 1000000) }}", "{{ raise_exception('x' * 1000000) }}", "{{ messages }}", "\x1b[2J",
]  # fmt: skip
"""Ways out of the sandbox, and ways to break."""

LOOPS = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "{{ 'a' * 10000000000 }}",
    "{% set x = [0] * 10000000000 %}", "{{ 9 ** 9 ** 9 }}", "{% set x = 10 ** (10 ** 8) %}",
    "{{ 'a'|center(10000000000) }}",
    "{{ '%10000000000d' % 1 }}", "{{ '{:>10000000000}'.format(1) }}", "{{ lipsum(n=100000) }}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "{% macro f(n) %}{% for i in range(99) %}{{ f(n) if n else '' }}{% endfor %}{% endmacro %}{{ f(1) }}",
    "{% set ns = namespace(x=2) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "{{ ('ab' * 1000000)|replace('a', 'b' * 1000000) }}", "{{ ('a ' * 10000000)|wordwrap(1) }}",
    "{% for i in range(99999) %}{{ messages|tojson }}{% endfor %}", "{{ ['a' * 100000000] * 100 | join }}",
    "{% set x = (['a' * 1000000] * 100000)|join %}", "{{ ('x' * 1000000)|indent(1000000) }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% set c = a * b %}{% endfor %}{% endfor %}",
    "{% for m in messages %}{% for i in range(99999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
]  # fmt: skip
"""Loops that take for ever, and values that take all memory."""

TEMPLATES: dict[str, str | bytes] = {
    "good": PLAIN, "empty": "", "blank": "   \n", "unclosed": "{% for m in messages %}", "bytes": bytes(range(256)),
    "latin-1": "{{ 'é' }}".encode("latin-1"), "comment": "{# x #}", "constant": "hello", "surrogate": "\ud800" + PLAIN,
    "10 MB": PLAIN + "{# " + "x" * 10_000_000 + " #}", "2000 ifs": "{% if a %}" * 2000 + "{% endif %}" * 2000 + PLAIN,
    "20,000 tags": PLAIN + "{{ bos_token }}" * 20_000, "8000 tags": PLAIN + "{{ bos_token }}" * 8000,
    "a quote without end": PLAIN + "{# '" + "|" * 100_000 + " #}", "apostrophes": PLAIN + "{# " + "'" * 100_000 + " #}",
    "15,000 literals": PLAIN + "{# " + "".join(f"'{n:x}|'" for n in range(15_000)) + " #}",
    "filters": PLAIN + "{{ a" + "|e" * 60_000 + " }}", "signs": PLAIN + "{{ " + "-" * 120_000 + "1 }}",
    "comparisons": PLAIN + "{{ " + "a<" * 60_000 + "a }}", "calls": PLAIN + "{{ a" + "()" * 60_000 + " }}",
    "break": PLAIN.replace("{% endfor %}", "{% break %}{% endfor %}"),
    "deep brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "deep lists": "{{ " + "[" * 300 + "]" * 300 + " }}",
    "long chain": "{{ " + "1 + " * 20_000 + "1 }}", "deep ifs": "{% if a %}" * 90 + "x" + "{% endif %}" * 90,
}  # fmt: skip

Change = Callable[[Any], Any]


def with_id(number: Any, value: Any) -> None:
    value["model"]["vocab"]["zzz"] = number


def with_added(number: Any, value: Any) -> None:
    value["added_tokens"].append({**value["added_tokens"][0], "id": number, "content": "<|x|>"})


def split_by(pattern: str, value: Any) -> None:
    value["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def with_key(key: str, new: Any, value: Any) -> None:
    value[key] = new


def linked_to_itself(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to("tokenizer")


def as_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("x")


def only_sizes(folder: Path) -> None:
    for file in folder.iterdir():
        if file.name != "config.json":
            file.unlink()


def normalized(steps: list[Any], value: Any) -> None:
    value["normalizer"] = {"type": "Sequence", "normalizers": steps}


def replace(kind: str, pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def around(times: int, value: Any) -> None:
    """The text itself, many times over."""
    both = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
    value["post_processor"] = {
        "type": "TemplateProcessing", "single": both[:1] * times, "pair": both, "special_tokens": {},
    }  # fmt: skip


NORMALIZERS: dict[str, list[Any]] = {
    "a chain": [replace("String", old, new * 10) for old, new in ("ef", "fg", "gh")],
    "every letter": [replace("Regex", ".", "x" * 1000)], "between letters": [replace("Regex", "(?=e)", "x" * 1000)],
    "nothing": [replace("String", "", "x" * 100_000)], "a word": [replace("String", "docker", "x" * 10**6)],
    "before": [{"type": "Prepend", "prepend": "x" * 1000}] * 4,
    "before, then": [{"type": "Prepend", "prepend": "e" * 1000}, *[replace("String", "e", "e" * 1000)] * 3],
    "a table": [{"type": "Precompiled", "precompiled_charsmap": b64encode(bytes(4) + b"x" * 100_000).decode()}],
    "for ever": [replace("Regex", "(a|aa)+$", "x")], "for ever in digits": [replace("Regex", r"(\d+)*\.x", "x")],
}  # fmt: skip

CLASSES = ("T5", "XLMRoberta", "CLIP", "Gemma", "ByT5", "Whisper", "LayoutLMv2", "Esm", "BertJapanese", "Canine")

TOKENIZERS: dict[str, Change] = {
    **{f"grows by {name}": partial(normalized, steps) for name, steps in NORMALIZERS.items()},
    "text a thousand times": partial(around, 1000),
    "long suffix": lambda v: v["model"].update(end_of_word_suffix="x" * 10**6),
    "decoder grows": lambda v: v.update(decoder=replace("String", "e", "e" * 10**6)),
    "long unknown": lambda v: v["model"].update(unk_token="x" * 10**6),
    "words": lambda v: v.update(model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}),
    "long words": lambda v: v.update(model={"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "a",
        "continuing_subword_prefix": "##", "max_input_chars_per_word": 10**9}),
    "no unknown": lambda v: v.update(model={"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": None}),
    "no vocabulary": lambda v: v["model"].update(vocab={}),
    "no merges": lambda v: v["model"].update(merges=[]),
    "a bad merge": lambda v: v["model"].update(merges=[["a", "nope"]]),
    "ids twice": lambda v: v["model"]["vocab"].update(dict.fromkeys(list(v["model"]["vocab"])[:5], 0)),
    **{f"id {number}": partial(with_id, number)
       for number in (-1, 999_999, 2**28, 2**31, 2**32 - 1, 2**32, 1.5, "x", None)},
    **{f"added id {number}": partial(with_added, number) for number in (10**6, 2**28, 2**31, 2**32 - 1,
        -1, "x")},
    "model unknown": lambda v: v["model"].update(type="Nope"),
    "added twice": lambda v: v["added_tokens"].append(v["added_tokens"][0]),
    "added without text": lambda v: v["added_tokens"].append({**v["added_tokens"][0], "id": 401, "content": ""}),
    "added a letter": lambda v: v["added_tokens"].append({**v["added_tokens"][0], "id": 320, "content": "e"}),
    **{f"split by {pattern}": partial(split_by, pattern)
       for pattern in ("(a+)+$", "(", "(.*)*(.*)*x$", "(e|e)*(e|e)*(e|e)*!", "(?:[a-z ]+)+[A-Z]{9}")},
    "grows": lambda v: v.update(normalizer={"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 1000}] * 4}),
    "grows a little": lambda v: v.update(normalizer={"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 1000}] * 2}),
    "cuts off": lambda v: v.update(truncation={
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}),
    "fills up": lambda v: v.update(padding={"strategy": {"Fixed": 512}, "direction": "Right",
        "pad_to_multiple_of": None,
                                            "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}),
    "fills up far": lambda v: v.update(padding={"strategy": {"Fixed": 10**10}, "direction": "Right",
                                                "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
                                                "pad_token": "x"}),
    "small letters": lambda v: v.update(normalizer={"type": "Lowercase"}),
    "no decoder": lambda v: v.update(decoder=None),
    "decoder odd": lambda v: v.update(decoder={"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
}  # fmt: skip
"""What tokenizer.json may hold."""

KEYS: dict[str, dict[str, list[Any]]] = {
    "tokenizer_config.json": {
        "eos_token": [None, "<nope>", 3, {"a": 1}, "", ["x"]],
        "tokenizer_class": ["NopeTokenizer", "../../x", 3, None, "BertTokenizer",
            *(f"{name}Tokenizer" for name in CLASSES)],
        "auto_map": [{"AutoTokenizer": ["evil.Evil", None]}, "x"],
        "model_max_length": ["x", 0, -5, float("nan"), 1e30, None, [1], 10**30],
        "chat_template": [[{"name": "default", "template": PLAIN}, {"name": "t", "template": PLAIN}], 5, [],
            [{"a": 1}], {"a": 1}],
        "added_tokens_decoder": [{"x": {"content": "y"}}, {"5": 3}, [1], {"999999999": {"content": "y"}},
            {"4294967295": {"content": "y"}}],
        "extra_special_tokens": [[1, None], "x", {"a": 3}], "pad_token": [3, {"a": 1}, "<nope>"],
        "bos_token": [3, "<nope>", ""],
        "unk_token": [3, "<nope>"], "clean_up_tokenization_spaces": ["x"], "padding_side": ["x", 3],
        "x": [json.loads("[" * 900 + "]" * 900)],
    },
    "config.json": {
        "vocab_size": [5, 0, "x", [1], -1, 1e9], "max_position_embeddings": [-1, 1, 1.5, "x", 10**30],
        "model_type": ["../x", "evil", None, 3],
        "auto_map": [{"AutoConfig": "evil.C"}], "eos_token_id": ["x", [1.5], {}, -1, 10**9, True],
    },
    "generation_config.json": {"eos_token_id": ["x", [99_999_999], -1, [[1]], {}, 2**40, 1.0, True]},
}  # fmt: skip


def fixed() -> Iterator[Case]:
    """The inputs that are the same for every seed."""
    for text in (*ESCAPES, *LOOPS):
        yield from template(text[:60], PLAIN + text)
        yield from template(f"after {text[:60]}", text + PLAIN)
    for name, content in TEMPLATES.items():
        yield from template(name, content)
    for name, file in (("missing", "nope.jinja"), ("/dev/zero", "/dev/zero"), ("a folder", "tokenizer")):
        yield Case(f"template {name}", lambda folder: None, audit("--template", file))
    yield Case("template a FIFO", lambda folder: os.mkfifo(folder / "t.jinja"), audit("--template", "t.jinja"))
    for name, change in TOKENIZERS.items():
        yield tokenizer(name, edit("tokenizer.json", change))
    for file, keys in KEYS.items():
        for key, values in keys.items():
            for value in values:
                yield tokenizer(
                    f"{file} {key} = {str(value)[:60]}",
                    edit(file, partial(with_key, key, value)),
                )
    yield tokenizer("a link to itself", linked_to_itself)
    yield tokenizer("a file", as_file)
    yield tokenizer("without tokenizer.json", lambda at: (at / "tokenizer.json").unlink())
    yield tokenizer("only config.json", only_sizes)


def drawn(draw: random.Random) -> Iterator[Case]:
    """Inputs without end, by a seed."""
    while True:
        way = draw.random()
        if way < 0.35:
            seed = draw.randrange(2**32)
            file = draw.choice(["tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"])
            yield tokenizer(
                f"{file} (seed {seed})",
                lambda at, file=file, seed=seed: spoiled_json(random.Random(seed), at / file),  # type: ignore[misc]
            )
            continue
        if way < 0.6:
            what, content = spoiled_bytes(draw, PLAIN.encode())
            text: str | bytes = content
        else:
            what, text = _program(draw), ""
            text = what + PLAIN if draw.random() < 0.5 else PLAIN + what
        yield draw.choice(list(template(what[:70], text)))


def _program(draw: random.Random) -> str:
    """A small program in jinja that grows or goes on."""
    count, text = draw.choice([3, 99, 9999, 99_999]), draw.choice(["a", "ab" * 50, str(draw.choice(ODD))[:20]])
    value = json.dumps(text)
    inner = draw.choice([
        "{% set ns.x = ns.x ~ ns.x %}", "{% set ns.x = ns.x + ns.x %}", "{{ ns.x }}", "{% set ns.x = ns.x * 9 %}",
        "{{ ns.x|tojson }}", "{{ messages[0].content * 999 }}", "{% set ns.x = [ns.x, ns.x] %}",
        "{{ ns.x|replace('a', 'aa') }}",
        "{% set ns.x = (ns.x ~ '')|replace('a', 'aa') %}", "{{ '%d' % 9 ** 999 }}", "",
    ])  # fmt: skip
    body = inner
    for _ in range(draw.randint(1, 3)):
        body = f"{{% for i in range({count}) %}}{body}{{% endfor %}}"
    return f"{{% set ns = namespace(x={value}) %}}{body}"
