"""A candidate asked: a model here, or an endpoint."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.chat.reasoning import ReasoningReader
from tasks.core.errors import InputError, SettingsError
from tasks.core.numbers import counted
from tasks.core.paths import Paths
from tasks.core.progress import reporter
from tasks.engine.chosen import Engine as Machinery
from tasks.evaluate import candidates, engine_checks, head, ranking
from tasks.evaluate.answer_store import AnswerStore, identity
from tasks.evaluate.best_prompt import best_prompt
from tasks.evaluate.calls import CallReader
from tasks.evaluate.classes import Classes
from tasks.evaluate.engine import Answer, Engine, stop_ids
from tasks.evaluate.in_vllm import in_vllm, room_of_vllm
from tasks.evaluate.prompting import ask_all, build_questions, generates
from tasks.evaluate.questions import Question, answer_room
from tasks.evaluate.settings import Settings
from tasks.evaluate.spread import Origin, carried_out
from tasks.models.classes import is_classifier
from tasks.models.embedder import MODULES, is_embedder
from tasks.models.for_vllm import version
from tasks.models.head import Head

CONTEXT = 2048
"""Tokens; assumed for a model whose configuration names no longest sequence."""


@dataclass
class CandidateAnswers:
    """The held-out rows as one candidate was asked them, and what it said."""

    questions: list[Question | None]
    answers: list[Answer]
    likelihoods: dict[str, list[dict[str, Any] | None]]
    max_new_tokens: int
    """Tokens that an answer might have."""
    reader: ReasoningReader
    """What told its reasoning from its answers."""
    calls: CallReader
    """What reads its calls of tools."""
    tried: list[dict[str, Any]] = field(default_factory=list)
    """System prompts that were tried on the validation split, with their scores there."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Where transformers did not compute it: what did, and how far both agreed on some rows."""
    benchmarks: Any = None


def ask_endpoint(held_out: list[dict[str, Any]], candidate: str, settings: Settings, paths: Paths) -> CandidateAnswers:
    """A candidate behind an endpoint."""
    from tasks.evaluate.served import ask_server, check

    check(candidate, settings)
    (server,) = settings.teachers(candidate)
    questions, answers = ask_server(held_out, candidate, server, paths)
    return CandidateAnswers(questions, answers, {}, server.max_new_tokens, ReasoningReader(), CallReader())


def ask_model(
    held_out: list[dict[str, Any]],
    classes: dict[str, Classes],
    candidate: str,
    settings: Settings,
    paths: Paths,
    machinery: Machinery,
) -> CandidateAnswers:
    """A candidate that is a model here, or is sent from here to the nodes of a cluster."""
    *_, folder = folders = candidates.folders(candidate, settings, paths)
    by_vllm = settings.engine.kind == "vllm"
    if by_vllm:
        engine_checks.check_machine()
        engine_checks.check_candidate(candidate, folders)
    if is_embedder(folder):
        return _ask_embedder(held_out, candidate, settings, paths, folders)
    if any(metric.asks == "rank" for metric in settings.metrics):
        raise SettingsError(
            f"{paths.params}: evaluate.metrics: retrieval compares vectors, but {candidate} is not an embedding "
            f"model ({MODULES} is missing in {folder}); set train.objective to embed, or use another metric."
        )
    tokenizer = candidates.chat_tokenizer(folder)
    model = candidates.load(candidate, settings, folders, tokenizer)
    context = int(getattr(model.config.get_text_config(), "max_position_embeddings", CONTEXT))
    if by_vllm:
        engine_checks.check_model(candidate, model, folders[0])
        context = room_of_vllm(settings.engine, context)
    if is_classifier(model.config):
        return _ask_classifier(held_out, classes, candidate, settings, paths, model, tokenizer, folders, context)
    max_new_tokens = settings.max_new_tokens or answer_room(held_out, tokenizer, stop_ids(model, tokenizer), context)
    room = context - (max_new_tokens if generates(settings.metrics) else 1)
    machine = [settings.threads, str(model.device), context, *([version()] if by_vllm else [])]
    store = AnswerStore(paths.scratch(f"evaluate-{candidate}"), identity(folders, machine))
    work = carried_out(machinery, model, Origin(candidate, settings, folders, context))
    engine = Engine.of(settings, model, tokenizer, context, store, work)
    compared: dict[str, Any] = {}
    if by_vllm:
        engine, compared = in_vllm(engine, model, held_out, candidate, settings, paths, folders, max_new_tokens, room)
    best: str | None = None
    tried: list[dict[str, Any]] = []
    if candidate in settings.prompts:
        best, tried = best_prompt(candidate, settings, paths, engine, max_new_tokens, room)
    questions = build_questions(held_out, candidate, settings, paths, tokenizer, room, best)
    whole = questions
    if None in questions and any(metric.asks != "answer" for metric in settings.metrics):
        whole = build_questions(held_out, candidate, settings, paths, tokenizer, context - 1, best)
    if not any(questions):
        raise InputError(
            f"{paths.clean / 'test.parquet'}: none of {counted(len(held_out), 'rows')} fits into the model's context "
            f"of {context} tokens with {max_new_tokens} for the answer; lower evaluate.max_new_tokens, or use shorter "
            "rows."
        )
    results = CandidateAnswers(
        questions,
        *ask_all(held_out, questions, settings.metrics, classes, engine, max_new_tokens, candidate, whole),
        max_new_tokens,
        engine.reader,
        CallReader(tokenizer, engine.reader),
        tried,
        engine=compared,
    )
    if settings.benchmarks and candidate in settings.benchmarked:
        from tasks.evaluate.benchmarks import run_benchmarks

        results.benchmarks = run_benchmarks(settings.benchmarks, engine, paths.scoring, reporter)
    return results


def _ask_classifier(
    held_out: list[dict[str, Any]],
    classes: dict[str, Classes],
    candidate: str,
    settings: Settings,
    paths: Paths,
    model: Any,
    tokenizer: Any,
    folders: list[Path],
    context: int,
) -> CandidateAnswers:
    """A candidate whose head names a class; it needs no room for an answer."""
    head.check(candidate, settings, Head.of(model.config))
    store = AnswerStore(
        paths.scratch(f"evaluate-{candidate}"), identity(folders, [settings.threads, str(model.device), "head"])
    )
    engine = head.HeadEngine(model, settings, store)
    questions = build_questions(held_out, candidate, settings, paths, tokenizer, context)
    chosen = engine.chosen(questions, candidate)
    for known in classes.values():
        head.tell_unknown(held_out, known, engine.head, candidate)
    reader = ReasoningReader.of(tokenizer)
    likelihoods = {metric.column: chosen for metric in settings.metrics}
    return CandidateAnswers(questions, head.as_answers(chosen), likelihoods, 0, reader, CallReader(tokenizer, reader))


def _ask_embedder(
    held_out: list[dict[str, Any]], candidate: str, settings: Settings, paths: Paths, folders: list[Path]
) -> CandidateAnswers:
    """A candidate that ranks the documents of the test split for each question."""
    ranking.check(candidate, settings)
    paths.scratch(f"evaluate-{candidate}").mkdir(parents=True, exist_ok=True)
    engine = ranking.RankingEngine(ranking.load_embedder(folders), folders[-1], settings, candidate)
    file = paths.rows("test")
    pairs = [ranking.pair_of(row, file) for row in held_out]
    questions = engine.questions(held_out, pairs)
    ranked = engine.ranked(pairs, questions, ranking.held_out_corpus(paths))
    likelihoods: dict[str, list[dict[str, Any] | None]] = {metric.column: [*ranked] for metric in settings.metrics}
    return CandidateAnswers([*questions], ranking.as_answers(ranked), likelihoods, 0, ReasoningReader(), CallReader())


def cost(questions: list[Question | None], answers: list[Answer]) -> dict[str, float | None]:
    """Mean tokens of a prompt and of an answer; None for what nobody counted, as an endpoint's prompts."""
    prompts = [len(question.ids) for question in questions if question and question.ids]
    lengths = [answer.tokens for answer in answers if answer.finish not in ("too_long", "no_answer")]
    return {
        "prompt_tokens": round(sum(prompts) / len(prompts), 1) if prompts else None,
        "answer_tokens": round(sum(lengths) / len(lengths), 1) if lengths else None,
    }
