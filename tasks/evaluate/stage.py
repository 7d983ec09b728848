"""Answer the held-out rows with one candidate, and score the answers.

    python -m tasks evaluate CANDIDATE

In: data/clean/test.parquet, data/templated/tokenizer, data/scoring, and the candidate's model. Out:
data/evaluation/CANDIDATE (`scores.json`, `predictions.parquet`, `settings.json`; with benchmarks also
`benchmarks.json` and `samples.parquet`). Candidates:

    base           the base model, asked as the tuned one is
    base_system    the base model with a system prompt
    base_few_shot  the base model, with rows of the training split as earlier turns
    trained        base with the adapter that train made, before align (or the model that was tuned whole)
    adapter        base with the live adapter, align's where it is on (or the model that was tuned whole)
    merged         the merged model
    base_retrieved, merged_retrieved
                   these models, with the nearest rows of the training split as earlier turns (evaluate.retrieved)
    SCHEME         a quantised model: nf4, int8, gguf-q8_0
    NAME           any other model of evaluate.models or evaluate.hosted; the base with passages of evaluate.documents,
                   or with the best of evaluate.prompts

Prompts are rendered as they were in training, decoding is greedy, rows of similar length share a batch. Batches that
are answered are kept until the stage ends, so that a killed evaluation goes on where it was. Unless train and align are
both on, `trained` would be `adapter` again: nothing is asked, and its folder holds settings only. So it is with
base_system and base_few_shot where an embedding model is trained.
"""

from pathlib import Path

from tasks.core.declaration import ITEM, KEY, Entry, Resources, Stage, tracked
from tasks.core.files import write_json, written
from tasks.core.paths import PATHS, Paths
from tasks.evaluate.metrics.registry import check_files
from tasks.evaluate.settings import LISTS, Settings
from tasks.named.names import inside

__all__ = ["STAGE", "Settings", "run", "validate"]


def validate(settings: Settings, paths: Paths) -> None:
    """Raise what `run` would raise for the settings alone."""
    if settings.engine.kind == "vllm":
        from tasks.evaluate import engine_checks

        engine_checks.check(settings, paths)
    for name, hosted in settings.hosted.items():
        if hosted.server:
            from tasks.evaluate.served import check

            check(name, settings)
    for metric in settings.metrics:
        check_files(metric, paths.scoring)
    for name in settings.documents:
        from tasks.evaluate.retrieval import check_documents

        check_documents(name, settings, paths)
    from tasks.models.gguf.whole import check_whole
    from tasks.models.loading import gguf_file

    for name, folder in settings.models.items():
        if file := gguf_file(inside(paths.root, folder, f"evaluate.models.{name}")):
            check_whole(file)
    if any(metric.asks == "rank" for metric in settings.metrics):
        from tasks.models.embedder import Embedder

        for name, folder in settings.models.items():
            Embedder.of(inside(paths.root, folder, f"evaluate.models.{name}"))
    for benchmark in settings.benchmarks:
        from tasks.evaluate.benchmark_checks import check as check_benchmark

        check_benchmark(benchmark, paths.scoring)


def run(settings: Settings, paths: Paths, candidate: str = "") -> None:
    """Answer and score; see the module's docstring."""
    from tasks.evaluate.candidates import WORDED, is_apart
    from tasks.models.embedder import is_embedder

    if candidate in WORDED and is_embedder(paths.tokenizer):
        _leave_out(settings, paths, candidate, "an embedding model has no prompt to vary, so only base is evaluated")
        return
    if not is_apart(candidate, paths):
        _leave_out(settings, paths, candidate, "train and align are not both on, so only adapter is evaluated")
        return
    from tasks.evaluate.run import evaluate

    evaluate(settings, paths, candidate)


def _leave_out(settings: Settings, paths: Paths, candidate: str, why: str) -> None:
    """Write the folder of a candidate that is not asked, with its settings alone."""
    with written(paths.evaluation(candidate)) as out:
        out.mkdir()
        write_json(out / "settings.json", settings.effective())
    print(f"evaluate {candidate}: {why}")


def _entry(name: str, candidate: str, *model: Path | str, foreach: str = "", also: tuple[str, ...] = ()) -> Entry:
    """The candidates differ in what they need, so each is an entry of its own."""
    own = (f"{foreach}.{KEY}",) if candidate == KEY else ()
    return Entry(
        name=name,
        item=candidate,
        foreach=foreach,
        inputs=(*model, PATHS.rows("test"), PATHS.scoring),
        outputs=(PATHS.evaluation(candidate),),
        params=(*tracked("evaluate", Settings, but=LISTS), *own, *also),
    )


STAGE = Stage(
    name="evaluate",
    about="Scores on the held-out rows.",
    settings=Settings,
    run=run,
    validate=validate,
    entries=(
        _entry("evaluate-base", "base", PATHS.base, PATHS.tokenizer),
        _entry("evaluate-system", "base_system", PATHS.base, PATHS.tokenizer),
        _entry("evaluate-few-shot", "base_few_shot", PATHS.base, PATHS.rows("train"), PATHS.tokenizer),
        _entry("evaluate-trained", "trained", PATHS.base, PATHS.tokenizer, PATHS.fitted, also=("align.objective",)),
        _entry("evaluate-adapter", "adapter", PATHS.aligned, PATHS.base, PATHS.tokenizer, PATHS.fitted),
        _entry("evaluate-merged", "merged", PATHS.merged, PATHS.tokenizer),
        _entry("evaluate-quantized", ITEM, PATHS.quantized(ITEM), PATHS.tokenizer, foreach="quantize.schemes"),
        _entry(
            "evaluate-retrieved",
            f"{ITEM}_retrieved",
            PATHS.data / ITEM,
            PATHS.rows("train"),
            PATHS.tokenizer,
            foreach="evaluate.retrieved",
        ),
        _entry("evaluate-documents", KEY, PATHS.base, PATHS.tokenizer, ITEM, foreach="evaluate.documents"),
        _entry(
            "evaluate-prompts", KEY, PATHS.base, PATHS.tokenizer, PATHS.rows("validation"), foreach="evaluate.prompts"
        ),
        _entry("evaluate-model", KEY, ITEM, foreach="evaluate.models"),
        _entry("evaluate-hosted", KEY, foreach="evaluate.hosted"),
    ),
    item="CANDIDATE",
    resources=Resources(gpu=True),
    teachers=Settings.teachers,
)
