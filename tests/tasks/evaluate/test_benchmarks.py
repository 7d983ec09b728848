"""Benchmarks of lm-eval on the engine, and going on after a kill: equal scores, nothing stale, nothing cut unsaid."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.core.errors import InputError, SettingsError
from tasks.core.progress import reporter
from tasks.evaluate.settings import Benchmark
from tests.tasks import tiny

pytest.importorskip("torch")

TASK = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{train: {folder}/train.jsonl, test: {folder}/test.jsonl}}}}
test_split: test
fewshot_split: train
fewshot_config: {{sampler: first_n}}
output_type: {kind}
doc_to_text: "{text}"
doc_to_target: {target}
metric_list:
  - metric: {metric}
    aggregation: mean
    higher_is_better: true
metadata: {{version: 2.0}}
{more}
"""


READ = """generation_kwargs: {max_gen_toks: 2}
filter_list:
  - {name: plain, filter: [{function: take_first}]}
  - {name: mapped, filter: [{function: map, mapping_dict: {zz: zz}, default_value: docker}, {function: take_first}]}
"""


TEXT = {"kind": "loglikelihood_rolling", "text": "", "target": '"{{question}}"', "metric": "bits_per_byte"}


@pytest.fixture(autouse=True)
def without_survey(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval adds to its results which packages and processor there are: by pip and other programs, for seconds."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks with choices and with answers: one that draws, one whose answers are read in two ways, one without end."""
    folder = tmp_path_factory.mktemp("scoring")
    rows = [
        {"question": chat[0]["content"], "answer": chat[1]["content"], "choices": [chat[1]["content"], "docker ps -a"]}
        for chat in tiny.conversations()
    ]
    for split, part in (("train", rows[:6]), ("test", rows[6:])):
        (folder / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in part))
    choices = {"kind": "multiple_choice", "target": 0, "metric": "acc", "more": "doc_to_choice: choices"}
    answers = {"kind": "generate_until", "target": "answer", "metric": "exact_match"}
    for name, facts in (
        ("pick", {**choices, "text": "{{question}}:"}),
        ("say", {**answers, "text": "{{question}}", "more": "generation_kwargs: {until: ['o'], max_gen_toks: 6}"}),
        ("draw", {**answers, "text": "{{question}}", "more": "generation_kwargs: {do_sample: true, temperature: 1.0}"}),
        ("read", {**answers, "text": "{{question}}", "target": "docker", "more": READ}),
        ("text", TEXT),
        ("endless", {**answers, "text": "{{question}}", "more": "generation_kwargs: {max_gen_toks: 256}"}),
    ):
        text = TASK.format(name=f"tiny_{name}", folder=folder, **{"more": "", **facts})
        if facts is TEXT:
            text = text.replace("    aggregation: mean\n    higher_is_better: true\n", "")
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    from tasks.models.loading import load_model

    tokenizer = tiny.tokenizer()
    model = load_model(tiny.model(tmp_path_factory.mktemp("model"), vocabulary=len(tokenizer)))
    return model, tokenizer


def engine(model: tuple[Any, Any], record: Path, context: int = 256, rows: int = 5) -> Any:
    from tasks.evaluate.answer_store import AnswerStore
    from tasks.evaluate.engine import Engine

    return Engine(*model, context=context, batch_size=rows, batch_tokens=4096, store=AnswerStore(record, "a" * 32))


def run_task(benchmark: dict[str, Any], engine: Any, scoring: Path) -> Any:
    from tasks.evaluate.benchmarks import run_benchmarks

    return run_benchmarks([Benchmark.model_validate(benchmark)], engine, scoring, reporter)


@pytest.mark.parametrize(
    ("task", "shots"),
    [
        ("tiny_pick", 2),
        ("tiny_say", 0),
        ("tiny_text", 0),
        *(pytest.param(*more, marks=pytest.mark.long) for more in (("tiny_pick", 0), ("tiny_say", 2))),
    ],
)
def test_scores_are_those_of_lm_eval(
    model: tuple[Any, Any], scoring: Path, tmp_path: Path, task: str, shots: int
) -> None:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    results = run_task({"task": task, "shots": shots, "chat_template": False}, engine(model, tmp_path), scoring)
    plain = simple_evaluate(
        model=HFLM(pretrained=model[0], tokenizer=model[1], backend="causal", batch_size=1, max_length=256),
        tasks=[task],
        num_fewshot=shots,
        task_manager=TaskManager(include_path=str(scoring), include_defaults=False),
        bootstrap_iters=0,
    )
    scores = results.scores[task]
    (metric,) = scores["metrics"]
    assert scores["metrics"][metric]["value"] == round(plain["results"][task][f"{metric},none"], 4)
    assert (scores["shots"], scores["version"], scores["truncated"]) == (shots, 2.0, 0)
    assert scores["metrics"][metric]["better"] == ("lower" if task == "tiny_text" else "higher")
    theirs = sorted(plain["samples"][task], key=lambda row: row["doc_id"])
    for mine, other in zip(results.samples, theirs, strict=True):
        if task == "tiny_say":
            assert json.loads(mine["answer"]) == other["filtered_resps"]
        elif task == "tiny_text":
            assert json.loads(mine["answer"]) == pytest.approx(other["filtered_resps"], abs=1e-3)
        else:
            log_likelihoods = [value for value, _ in json.loads(mine["answer"])]
            assert log_likelihoods == pytest.approx([float(value) for value, _ in other["filtered_resps"]], abs=1e-4)


def test_answers_that_are_read_in_two_ways_have_two_scores(
    model: tuple[Any, Any], scoring: Path, tmp_path: Path
) -> None:
    results = run_task({"task": "tiny_read"}, engine(model, tmp_path), scoring)
    metrics = results.scores["tiny_read"]["metrics"]
    assert {name: (score["value"], score["n"]) for name, score in metrics.items()} == {
        "exact_match,mapped": (1.0, 26),
        "exact_match,plain": (0.0, 26),
    }
    assert len(results.samples) == 26
    assert json.loads(results.samples[0]["answer"])["mapped"] == ["docker"]


def test_questions_are_rendered_as_in_training(model: tuple[Any, Any], scoring: Path, tmp_path: Path) -> None:
    scores = run_task({"task": "tiny_say", "shots": 1}, engine(model, tmp_path), scoring).scores["tiny_say"]
    assert scores["chat_template"] is True
    assert scores["first_prompt"] == (
        "<|im_start|>user\nstart web<|im_end|>\n<|im_start|>assistant\ndocker start web<|im_end|>\n"
        "<|im_start|>user\nstart front<|im_end|>\n<|im_start|>assistant\n"
    ), "the example's answer is the assistant's"
    raw = run_task({"task": "tiny_say", "shots": 1, "chat_template": False}, engine(model, tmp_path), scoring)
    assert raw.scores["tiny_say"]["prompts"] != scores["prompts"]


def test_an_edited_task_gives_no_stale_answer(model: tuple[Any, Any], scoring: Path, tmp_path: Path) -> None:
    record = tmp_path / "record"
    before = run_task({"task": "tiny_say"}, engine(model, record), scoring)
    changed = tmp_path / "changed"
    changed.mkdir()
    for name in ("pick.yaml", "say.yaml"):
        text = (scoring / name).read_text()
        (changed / name).write_text(text.replace("{{question}}", "Now {{question}}").replace("toks: 6", "toks: 3"))
    after = run_task({"task": "tiny_say"}, engine(model, record), changed)
    assert "Now start front" in after.samples[0]["prompt"]
    assert before.scores["tiny_say"]["config"] != after.scores["tiny_say"]["config"]
    assert before.samples[0]["answer"] != after.samples[0]["answer"]


def test_what_does_not_fit_is_an_error_or_counted(model: tuple[Any, Any], scoring: Path, tmp_path: Path) -> None:
    small = engine(model, tmp_path / "one", context=24)
    with pytest.raises(InputError, match=r"questions of tiny_pick are longer than the context of 24 tokens"):
        run_task({"task": "tiny_pick", "shots": 3}, small, scoring)
    results = run_task(
        {"task": "tiny_pick", "shots": 3, "truncate": True}, engine(model, tmp_path / "two", context=24), scoring
    )
    assert results.scores["tiny_pick"]["truncated"] == 52


def test_drawn_questions_are_those_of_lm_eval(model: tuple[Any, Any], scoring: Path, tmp_path: Path) -> None:
    """Fewer than all, by their numbers, which lm-eval itself is given."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    benchmark = {"task": "tiny_pick", "shots": 1, "chat_template": False, "limit": 7}
    results = run_task(benchmark, engine(model, tmp_path), scoring)
    scores = results.scores["tiny_pick"]
    numbers = [row["number"] for row in results.samples]
    assert scores["drawn"] == {"rows": 7, "of": 26, "by": "chance"}
    assert len({*numbers}) == 7 and numbers == sorted(numbers) != list(range(7))
    assert numbers == [row["number"] for row in run_task(benchmark, engine(model, tmp_path), scoring).samples]
    theirs = simple_evaluate(
        model=HFLM(pretrained=model[0], tokenizer=model[1], backend="causal", batch_size=1, max_length=256),
        tasks=["tiny_pick"],
        num_fewshot=1,
        task_manager=TaskManager(include_path=str(scoring), include_defaults=False),
        bootstrap_iters=0,
        samples={"tiny_pick": numbers},
    )["samples"]["tiny_pick"]
    assert [row["doc_hash"] for row in theirs] == [row["question"] for row in results.samples]
    assert scores["metrics"]["acc"]["value"] == round(sum(row["acc"] for row in theirs) / 7, 4)


def test_questions_that_stand_among_the_examples_are_counted(
    model: tuple[Any, Any], scoring: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same question with its choices in another order is the same question."""
    rows = [json.loads(line) for line in (scoring / "test.jsonl").read_text().splitlines()]
    shared = tmp_path / "scoring"
    shared.mkdir()
    (shared / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    known = {**rows[3], "choices": rows[3]["choices"][::-1]}
    train = [*(scoring / "train.jsonl").read_text().splitlines(), json.dumps(known)]
    (shared / "train.jsonl").write_text("".join(f"{line}\n" for line in train))
    (shared / "pick.yaml").write_text((scoring / "pick.yaml").read_text().replace(str(scoring), str(shared)))
    for folder, shots, count in ((shared, 2, 1), (shared, 0, 0), (scoring, 2, 0)):
        results = run_task(
            {"task": "tiny_pick", "shots": shots}, engine(model, tmp_path / f"{shots}{folder.name}"), folder
        )
        assert results.scores["tiny_pick"]["among_the_examples"] == count
    assert capsys.readouterr().out.count("tiny_pick: 1 of its questions") == 1


def test_a_text_begins_with_one_bos(model: tuple[Any, Any], tmp_path: Path) -> None:
    """As lm-eval has it for raw texts; what a template rendered has its own already."""
    from tokenizers.processors import TemplateProcessing

    from tasks.evaluate.engine import Engine
    from tasks.evaluate.harness import Harness

    tokenizer = tiny.tokenizer()
    tokenizer.bos_token = "<|im_start|>"
    first = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{tokenizer.bos_token} $A", special_tokens=[(tokenizer.bos_token, first)]
    )
    with_bos = Engine(
        model[0], tokenizer, context=64, batch_size=2, batch_tokens=512, store=engine(model, tmp_path).store
    )
    raw, chat = (Harness(with_bos, chat=chat, report=lambda what, total: lambda done: None) for chat in (False, True))
    for harness, text in ((raw, "start web"), (raw, "<|im_start|>start web"), (chat, "<|im_start|>start web")):
        assert harness.tok_encode(text).count(first) == 1, text
    assert chat.tok_encode("start web").count(first) == 0


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("tiny_draw", "draws its answers at random"),
        ("tiny_endless", "asks for answers of 256 tokens .max_gen_toks., but the model's context has only 256"),
    ],
)
def test_tasks_that_cannot_be_asked(
    model: tuple[Any, Any], scoring: Path, tmp_path: Path, task: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_task({"task": task}, engine(model, tmp_path), scoring)


@pytest.mark.long  # lm-eval reads all its own task files before it says that none has the name
def test_task_files_that_do_not_parse(model: tuple[Any, Any], tmp_path: Path) -> None:
    (tmp_path / "scoring").mkdir()
    (tmp_path / "scoring" / "bad.yaml").write_text("task: [unclosed\n")
    with pytest.raises((SettingsError, InputError), match=r"tiny_bad|bad\.yaml|task file"):
        run_task({"task": "tiny_bad"}, engine(model, tmp_path / "record"), tmp_path / "scoring")


def test_a_task_whose_data_is_not_there(model: tuple[Any, Any], tmp_path: Path) -> None:
    (tmp_path / "scoring").mkdir()
    (tmp_path / "scoring" / "bad.yaml").write_text(
        "task: tiny_bad\ndataset_path: json\ndataset_kwargs: {data_files: {test: nothing.jsonl}}\n"
        "test_split: test\noutput_type: generate_until\ndoc_to_text: a\ndoc_to_target: b\n"
    )
    with pytest.raises(InputError, match=r"the task tiny_bad cannot be run .FileNotFoundError"):
        run_task({"task": "tiny_bad"}, engine(model, tmp_path / "record"), tmp_path / "scoring")


class Killed(Exception):
    """Stands for the end of the process: nothing after it runs."""


def test_a_killed_evaluation_goes_on_where_it_was(
    model: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [model[1](chat[0]["content"])["input_ids"] for chat in tiny.conversations()]
    whole = engine(model, tmp_path / "whole").answers(ids, 6, lambda done: None)

    def stop(done: int) -> None:
        if done >= 15:
            raise Killed

    with pytest.raises(Killed):
        engine(model, tmp_path / "cut").answers(ids, 6, stop)
    (file,) = (tmp_path / "cut").iterdir()
    assert len(file.read_bytes().splitlines()) == 2, "of four parts with eight rows each"
    with file.open("ab") as record:
        record.write(b'{"key": "half a li')  # the kill came while a line was written
    again = engine(model, tmp_path / "cut")
    calls: list[int] = []
    generate = type(again)._generate

    def counted(self: Any, batch: list[Any], *more: Any) -> Any:
        calls.append(len(batch))
        return generate(self, batch, *more)

    monkeypatch.setattr(type(again), "_generate", counted)
    assert again.answers(ids, 6, lambda done: None) == whole
    assert sum(calls) == len(ids) - 16, "what was answered is not asked again"


def test_a_record_of_another_model_is_not_read(model: tuple[Any, Any], tmp_path: Path) -> None:
    from tasks.evaluate.answer_store import AnswerStore, identity

    folders = []
    for number in range(2):
        folder = tmp_path / f"model{number}"
        folder.mkdir()
        (folder / "config.json").write_text(str(number))
        folders.append(identity([folder], [1, "cpu", 256]))
    assert len(set(folders)) == 2

    def answered(folder: str, answer: int) -> list[Any]:
        """What the store gives for one batch, if its answer would be this one."""
        return next(AnswerStore(tmp_path / "record", folder).each(["batch"], lambda unknown: iter([[answer]])))

    assert answered(folders[0], 1) == [1]
    assert answered(folders[0], 2) == [1]
    assert answered(folders[1], 2) == [2]
    assert len(list((tmp_path / "record").iterdir())) == 1


def test_an_answer_that_never_ends_is_cut_and_said_to_be(model: tuple[Any, Any], tmp_path: Path) -> None:
    ids = [model[1](chat[0]["content"])["input_ids"] for chat in tiny.conversations()[:5]]
    answers = engine(model, tmp_path).answers(ids, 4, lambda done: None)
    assert {answer.finish for answer in answers} <= {"stop", "length"}
    assert all(answer.tokens == 4 for answer in answers if answer.finish == "length")
    assert any(answer.finish == "length" for answer in answers)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_an_empty_answer_has_no_likelihood(chat: bool, blank: str, model: tuple[Any, Any], tmp_path: Path) -> None:
    from tasks.evaluate.harness import Harness

    harness = Harness(engine(model, tmp_path), chat=chat, report=lambda what, total: lambda done: None)
    requests = [SimpleNamespace(args=("start web:\n", text)) for text in ("docker", blank)]
    with pytest.raises(InputError, match=r"1 of 2 answers to be scored by likelihood are empty.*'start web:"):
        harness.loglikelihood(requests)


def test_an_answer_that_one_token_joins_to_the_question_is_not_empty(model: tuple[Any, Any], tmp_path: Path) -> None:
    """Without its tokens it would be certain, and said by greedy decoding."""
    from tasks.evaluate.harness import Harness

    harness = Harness(engine(model, tmp_path), chat=False, report=lambda what, total: lambda done: None)
    tokenizer = model[1]
    assert len(tokenizer("docker")["input_ids"]) <= len(tokenizer("docke")["input_ids"])
    assert harness._encode_pair("docke", "r") == (tokenizer("docke")["input_ids"], tokenizer("r")["input_ids"])
    ((value, _),) = harness.loglikelihood([SimpleNamespace(args=("docke", "r"))])
    assert value < 0


def test_stops_count_from_behind_what_a_model_thinks() -> None:
    from tasks.evaluate.stops import cut_at_stop

    assert cut_at_stop("<think>a\n\nb</think>yes\n\nmore", ("\n\n",)) == "<think>a\n\nb</think>yes"
    assert cut_at_stop("<think>a\n\nb", ("\n\n",)) == "<think>a\n\nb"
    assert cut_at_stop("yes\n\nmore", ("\n\n", "m")) == "yes"


@pytest.mark.parametrize(
    ("text", "stop", "ends"),
    [
        ("ab\n\ncd", "\n\n", "ab\n\n"),
        ("a docker b", " d", "a d"),
        ("ab\n<|im_start|>cd", "<|im_start|>", "ab\n<|im_start|>"),
        ("na\u00efve \u2713.", "\u2713", "na\u00efve \u2713"),
        ("a\n b\n", "\n\n", None),
    ],
)
def test_a_row_ends_with_the_token_that_completes_a_stop(text: str, stop: str, ends: str | None) -> None:
    """Stops over several tokens, control tokens, and characters of several tokens; what was asked does not count."""
    import torch

    from tasks.evaluate.stops import Criterion, Stops

    tokenizer = tiny.tokenizer()
    start = tokenizer(f"{stop}asked{stop}")["input_ids"]
    ids = tokenizer(text)["input_ids"]
    stops = Stops(tokenizer, (stop, ""))
    stopped_lengths = [length for length in range(1, len(ids) + 1) if stops.ended(ids[:length], None)]
    rows = [torch.tensor([start + ids[:length]]) for length in range(1, len(ids) + 1)]
    criterion = Criterion(stops, len(start), [None])
    assert [length for length, row in enumerate(rows, 1) if criterion(row, None).all()] == stopped_lengths
    complete_lengths = [length for length in range(1, len(ids) + 1) if stop in tokenizer.decode(ids[:length])]
    assert stopped_lengths[:1] == complete_lengths[:1], "at the first token after which it stands there"
    assert tokenizer.decode(ids[: stopped_lengths[0]]).startswith(ends) if ends else stopped_lengths == [], (
        stopped_lengths
    )
