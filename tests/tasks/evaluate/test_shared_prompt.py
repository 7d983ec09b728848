"""What prompts share is computed once, and every number and every answer is that of the row alone.

The row alone is computed here without keys and values that are kept, a pass for each text and for each token.
"""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from tasks.evaluate.common_starts import families
from tasks.training.methods import METHODS
from tests.families.build import build
from tests.families.configurations import FAMILIES
from tests.tasks import tiny

torch = pytest.importorskip("torch")

COPIED = ("gemma4_text", "gpt_oss", "bloom", "deepseek_v3")
"""Windows and layers that look at another's keys, sinks, distances instead of positions, latent keys: of each one."""

STATES = (
    "gemma3n_text", "jamba", "qwen3_next", "qwen3_5_text", "qwen3_5", "falcon_h1", "granitemoehybrid", "lfm2",
    "nemotron_h", "mamba", "mamba2",
)  # fmt: skip
"""Families with layers whose state has no places, or with keys of their own form: their rows are computed whole."""

DRAW = Random(0)
START = [DRAW.randrange(10, 300) for _ in range(24)]


def ids(count: int) -> list[int]:
    return [DRAW.randrange(10, 300) for _ in range(count)]


def loaded(family: str, folder: Path) -> Any:
    from tasks.models.loading import load_model

    return load_model(build(family, folder))


def alone(model: Any, context: list[int], text: list[int]) -> tuple[float, bool]:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*context, *text][:-1]]), use_cache=False).logits[0].float()
    logits = logits[-len(text) :].log_softmax(-1)
    likeliest = [int(row.argmax()) for row in logits]
    return sum(float(row[token]) for row, token in zip(logits, text, strict=True)), likeliest == text


def decoded(model: Any, prompt: list[int], tokens: int) -> list[int]:
    answer: list[int] = []
    with torch.no_grad():
        for _ in range(tokens):
            row = torch.tensor([[*prompt, *answer]])
            answer.append(int(model(input_ids=row, use_cache=False).logits[0, -1].argmax()))
    return answer


def shared(model: Any) -> Any:
    from tasks.evaluate.shared_prompt import SharedPrompts

    return SharedPrompts(model, 0, trims_logits=True)


@pytest.mark.parametrize(
    "family",
    [*COPIED, *(pytest.param(one, marks=pytest.mark.long) for one in FAMILIES if one not in (*COPIED, *STATES))],
)
def test_rows_are_as_they_are_alone(family: str, tmp_path: Path) -> None:
    """Contexts of uneven length, with a common start and without, texts of one token and of more; rows that leave."""
    from tasks.evaluate.decoding import greedy

    model = loaded(family, tmp_path / family)
    cases = ((0, (5, 9, 3), (1, 2, 4)), (24, (5, 9, 1), (1, 2, 4)), (3, (2, 9), (1, 2)), (24, (4, 7), (3,)))
    for start, contexts, texts in cases:
        groups = [(START[:start] + ids(length), [ids(one) for one in texts]) for length in contexts]
        groups[0][1][0] = decoded(model, groups[0][0], len(groups[0][1][0]))
        values = shared(model).likelihoods(start, groups, 4)
        for (context, group), scored in zip(groups, values, strict=True):
            for text, (value, greedy_text) in zip(group, scored, strict=True):
                wanted, wanted_greedy = alone(model, context, text)
                assert value == pytest.approx(wanted, abs=1e-4) and greedy_text == wanted_greedy
        assert values[0][0][1], "a text that the model says itself"
    prompts, lengths = [START + ids(length) for length in (6, 2, 1, 6, 3)], [2, 9, 4, 7, 1]
    answers = greedy(shared(model), 24, prompts, 3, 9, lambda number, answer: len(answer) == lengths[number])
    assert answers == [decoded(model, prompt, length) for prompt, length in zip(prompts, lengths, strict=True)]


@pytest.mark.parametrize(
    "family", ["lfm2", *(pytest.param(one, marks=pytest.mark.long) for one in STATES if one != "lfm2")]
)
def test_what_has_no_places_is_not_copied(family: str, tmp_path: Path) -> None:
    assert shared(loaded(family, tmp_path / family)).likelihoods(0, [([5, 6, 7], [[8], [9, 10]])], 4) is None


def adapted(kind: str, model: Any, **settings: Any) -> Any:
    """`model` with a random adapter of `kind`."""
    import peft

    configuration = peft.PEFT_TYPE_TO_CONFIG_MAPPING[peft.PeftType[kind]]
    model = peft.get_peft_model(model, configuration(task_type="CAUSAL_LM", **settings)).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.05)
    return model


OWN_SIZES: dict[str, dict[str, Any]] = {
    "adalora": {"total_step": 10}, "vblora": {"vector_length": 16}, "c3a": {"block_size": 16},
    "trainable_tokens": {"token_indices": [10, 11]},
}  # fmt: skip
WHOLE = ("lily", "shadow", "prompt_tuning", "prefix_tuning", "p_tuning", "cartridge")
"""Adapters that put tokens of their own before a row, or in which a token depends on those that pass with it."""


@pytest.mark.parametrize(
    "method",
    ["lora", "lily", "prompt_tuning"]
    + [
        pytest.param(name, marks=pytest.mark.long)
        for name, method in METHODS.items()
        if method.kind and name not in ("lora", "lily", "prompt_tuning", "adaption_prompt")  # which knows no Qwen3
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of peft, on what temper's own training settles
def test_adapters_are_asked_with_copies_where_they_work_on_each_token(method: str, tmp_path: Path) -> None:
    kind, preset = METHODS[method].kind, METHODS[method].preset
    model = adapted(str(kind), loaded("qwen3", tmp_path / "model"), **preset, **OWN_SIZES.get(method, {}))
    groups = [(START + ids(length), [ids(1), ids(3)]) for length in (4, 2)]
    values = shared(model).likelihoods(24, groups, 4)
    assert (values is None) == (method in WHOLE)
    for (context, texts), scored in zip(groups, values or (), strict=bool(values)):
        for text, (value, _) in zip(texts, scored, strict=True):
            assert value == pytest.approx(alone(model, context, text)[0], abs=1e-4)


def test_a_program_is_asked_row_by_row() -> None:
    from types import SimpleNamespace

    from tasks.evaluate.key_values import KeyValues

    assert KeyValues.empty(SimpleNamespace()) is None, "llama.cpp"


def engine(model: Any, folder: Path) -> Any:
    from tasks.evaluate.answer_store import AnswerStore
    from tasks.evaluate.engine import Engine

    store = AnswerStore(folder, "0" * 32)
    return Engine(model, tiny.tokenizer(), context=256, batch_size=4, batch_tokens=4096, store=store)


def test_each_token_of_a_start_and_of_a_question_goes_through_the_model_once(tmp_path: Path) -> None:
    model = loaded("qwen3", tmp_path / "model")
    passed: list[int] = []
    model.get_input_embeddings().register_forward_hook(lambda module, inputs, output: passed.append(inputs[0].numel()))
    one_token = [([*START, 30 + number, 5], [text]) for number in range(8) for text in (40, 41, 42, 43)]
    values = engine(model, tmp_path / "letters").likelihoods(one_token, lambda done: None)
    assert sum(passed) == len(START) + 8 * 2, "and choices of one token, not at all"
    assert values[5][0] == pytest.approx(alone(model, *one_token[5])[0], abs=1e-4)
    passed.clear()
    engine(model, tmp_path / "answers").answers([[*START, 30 + number, 5] for number in range(8)], 3, lambda done: None)
    assert sum(passed) == len(START) + 8 * 2 + 8 * 2


def test_one_start_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    """Two prompts with examples, then rows that share nothing, then the first examples again, of one engine."""
    model = loaded("qwen3", tmp_path / "model")
    asked = engine(model, tmp_path / "starts")
    for number, start in enumerate((START, ids(30), [], START)):
        pairs = [([*start, 20 + number, 50 + row, 7], [40, 41]) for row in range(9)]
        for (context, text), (value, _) in zip(pairs, asked.likelihoods(pairs, lambda done: None), strict=True):
            assert value == pytest.approx(alone(model, context, text)[0], abs=1e-4)


def test_more_texts_than_fit_together_are_all_scored(tmp_path: Path) -> None:
    """Twenty texts after each of two prompts in turn; a batch has four rows, and sixteen texts stay together."""
    model = loaded("qwen3", tmp_path / "model")
    pairs = [([9, 8, 7 + prompt], [20 + number, 30]) for number in range(20) for prompt in range(2)]
    values = engine(model, tmp_path / "texts").likelihoods(pairs, lambda done: None)
    for (context, text), (value, _) in zip(pairs, values, strict=True):
        assert value == pytest.approx(alone(model, context, text)[0], abs=1e-4)


def test_rows_that_wait_take_the_places_of_finished_ones(tmp_path: Path) -> None:
    from tasks.evaluate.decoding import greedy

    model = loaded("qwen3", tmp_path / "model")
    rows: list[int] = []
    model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: rows.append(len(inputs[0]) if inputs[0].shape[1] == 1 else 0)
    )
    lengths = [20, 2, 2, 2, 20, 2, 2, 2]
    prompts = [[20 + number, 30, 31, 32] for number in range(8)]
    greedy(shared(model), 0, prompts, 4, 20, lambda number, answer: len(answer) == lengths[number])
    steps = [count for count in rows if count]
    assert max(steps) == 4 and len(steps) < 24, "batch after batch would take 20 and 20"
    assert sum(steps) < 60, "and 160 rows"


def test_no_row_goes_on_beyond_the_last_position(tmp_path: Path) -> None:
    """A row that is finished may wait for others to leave with it, and a short text may stand beside a long one."""
    from tasks.evaluate.decoding import greedy

    model = loaded("gpt2", tmp_path / "model")
    long, short = ids(500), ids(400)
    groups = [(long, [[5, 6], [7]]), (short, [[8], ids(110)])]
    values = shared(model).likelihoods(0, groups, 4)
    assert [values[0][0][0], values[1][1][0]] == pytest.approx(
        [alone(model, long, [5, 6])[0], alone(model, short, groups[1][1][1])[0]], abs=1e-3
    )
    prompts = [ids(model.config.n_positions - 6 + 1) for _ in range(15)]
    lengths = [6, *[2] * 7, *[6] * 7]
    answers = greedy(shared(model), 0, prompts, 8, 6, lambda number, answer: len(answer) == lengths[number])
    assert answers and [len(answer) for answer in answers] == lengths
    assert answers[0] == decoded(model, prompts[0], 6)


EXAMPLES = [list(range(100, 140)), list(range(140, 200))]


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([[*START, number] for number in range(9)], {24: 9}),
        ([[number, *START] for number in range(9)], {0: 9}),
        ([[7, 7, *EXAMPLES[number % 2], number] for number in range(40)], {42: 20, 62: 20}),
        ([[*START, *EXAMPLES[number % 2], number] for number in range(40)], {64: 20, 84: 20}),
        (
            [*([*START, number] for number in range(40)), *([*START, *EXAMPLES[1], n] for n in range(9))],
            {24: 40, 84: 9},
        ),
        ([[*START, number % 5, number] for number in range(50)], {24: 50}),
        ([START] * 12, {23: 12}),
        ([START[: number + 1] for number in range(24)], {0: 16, 16: 8}),
        ([[5]] * 9, {0: 9}),
        ([], {}),
    ],
)
def test_rows_are_put_to_those_with_which_they_share_most(rows: list[list[int]], wanted: dict[int, int]) -> None:
    parts = families(rows)
    assert {start: len(members) for start, members in parts} == wanted
    assert sorted(index for _, members in parts for index in members) == list(range(len(rows)))
    for start, members in parts:
        assert len({tuple(rows[index][:start]) for index in members}) == 1
        assert all(len(rows[index]) > start for index in members)
