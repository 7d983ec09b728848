"""Section `evaluate` of params.yaml."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.core.settings import Location
from tasks.core.settings import Settings as Section
from tasks.evaluate.engine_choice import EngineChoice, by_transformers
from tasks.evaluate.metrics.registry import METRICS
from tasks.models.hub import Pinned
from tasks.named.choices import Choice, check_keys
from tasks.named.names import Name
from tasks.rows.columns import RESERVED, class_columns
from tasks.teacher.settings import Teacher

Positive = Annotated[int, Field(ge=1)]
METRIC = Choice("metric", METRICS)
Kind = Annotated[str, AfterValidator(METRIC.known), Field(json_schema_extra=METRIC.describe)]

BASES = ("base", "base_system", "base_few_shot")
"""The base, asked in three ways: what is to be had without tuning."""

TUNED = ("trained", "adapter")
"""The base with what train made of it, and with what align made of that: one and the same where align is off."""

KNOWN = (*BASES, *TUNED, "merged")
"""Candidates that every run has, `trained` where align is on; all others are quantised models, named by their scheme,
or of the settings."""

RETRIEVED = {"base_retrieved": "base", "merged_retrieved": "merged"}
"""Candidates that see the training rows nearest to each question, and the model that each of them is."""

LISTS = ("models", "hosted", "retrieved", "documents", "prompts")
"""Keys that say which candidates there are beside those of every run, and what they are."""


class Metric(Section):
    """How an answer is scored, from 0 (wrong) to 1 (right), except perplexity."""

    kind: Kind
    """What counts as a right answer."""
    name: Name | None = None
    """Name of the column and the score; null: the kind."""
    of: Literal["answer", "reasoning"] = "answer"
    """Which part of the output and the reference is scored: the answer, or the reasoning before it. The chat template's
    markers separate the two."""
    pattern: str | None = None
    """`regex`: a Python regular expression, searched for in the answer; ^ and $ match at line ends. Without a group,
    `(...)`, an answer with a match is right. With one, the first group must match the same text in the answer as in the
    reference, apart from whitespace; if the reference has no match, the whole reference counts. `answer is (\\d+)`
    scores the number alone. Further groups are ignored, and `(?:...)` is not a group."""
    schema_file: str | None = None
    """`json_schema`: a file in data/scoring with a JSON Schema."""
    function: str | None = None
    """`function`: FILE.py:NAME in data/scoring, called with output, reference and row; returns a number or a bool."""
    choices: list[str] = Field(default_factory=list)
    """`multiple_choice`: the answers to choose from; empty: the key `choices` of a row's last message.
    `classification` and `multilabel`: the classes; empty: those of all references of the test split."""
    by: Literal["answer", "likelihood"] = "answer"
    """`classification`: how the class is determined. answer: the model writes it. likelihood: the most likely of the
    classes, each with the token that ends it, as for `multiple_choice`; nothing is generated."""
    length_normalised: bool = False
    """`multiple_choice`, and `classification` by likelihood: divide each log-likelihood by the characters of its text
    (lm-eval's `acc_norm`), so that long names do not lose for their length; false: do not divide (`acc`)."""
    timeout: float = Field(5.0, gt=0)
    """`code`: longest run time of an answer, in seconds."""
    memory: int = Field(512, ge=64)
    """`code`: most memory that an answer may use, in MiB."""

    @property
    def column(self) -> str:
        """Name of the metric, and of its column and score where it has one score."""
        return self.name or self.kind

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of its scores, each that of a column as well; the first decides where the metric does."""
        names = METRICS[self.kind].scores or (self.column,)
        return tuple(f"{self.name}_{name}" for name in names) if self.name and len(names) > 1 else names

    @property
    def columns(self) -> tuple[str, ...]:
        """All its columns of predictions.parquet."""
        if self.classes:
            return (*self.scores, *class_columns(self.column))
        return (self.column, f"{self.column}_tokens") if self.asks == "loss" else self.scores

    @property
    def classes(self) -> bool:
        """Whether answers are classes, or lists of them."""
        return bool(METRICS[self.kind].classes)

    @property
    def several(self) -> bool:
        """Whether answers are lists of any number of classes."""
        return METRICS[self.kind].classes == "several"

    @property
    def asks(self) -> Literal["answer", "choice", "loss", "rank"]:
        """What the model is asked: for an answer, which of some texts is the likeliest, how likely one is, or in which
        order documents answer a question."""
        return "choice" if self.by == "likelihood" else METRICS[self.kind].asks

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_keys(self, "metric", self.kind, METRICS)
        if self.by == "likelihood" and (not self.classes or self.several):
            raise ValueError(
                f"the key by belongs to the metric classification and has no effect on {self.kind}; remove it"
            )
        if self.length_normalised and self.asks != "choice":
            raise ValueError(
                "length_normalised has an effect only on multiple_choice, and on classification with by: likelihood; "
                "remove it"
            )
        if self.choices:
            self._can_choose()
        if self.of == "reasoning" and self.classes:
            raise ValueError(f"the metric {self.kind} scores answers only; remove `of`")
        if self.of == "reasoning" and self.asks != "answer":
            what = "ranks documents" if self.asks == "rank" else "uses likelihoods of whole turns"
            raise ValueError(f"the metric {self.kind} {what}; remove `of`")
        if check := METRICS[self.kind].check:
            check(self)
        if taken := sorted(RESERVED & {*self.columns}):
            raise ValueError(f"the predictions already have a column {taken[0]}; choose another name")
        return self

    def _can_choose(self) -> None:
        if self.asks != "choice" and not self.classes:
            raise ValueError(
                "the key choices belongs to multiple_choice, classification and multilabel and has no effect on "
                f"{self.kind}; remove it"
            )
        spaced = [" ".join(choice.split()) for choice in self.choices]
        if len(spaced) < 2:
            raise ValueError(f"choices lists only {spaced[0]!r}; list at least two, or remove choices")
        if twice := next((text for text in spaced if spaced.count(text) > 1), None):
            raise ValueError(f"choices lists {twice!r} twice, apart from whitespace; remove one")


class Benchmark(Section):
    """A task of lm-eval."""

    task: str
    """Name of a task or group in lm-eval, or of one that a YAML file in data/scoring defines."""
    shots: int | None = Field(None, ge=0)
    """Examples before each question; null: the task's own number."""
    chat_template: bool = True
    """Render questions with the chat template, as in training (examples become earlier turns); false: ask the raw
    text."""
    limit: Positive | None = None
    """Number of questions per task, drawn so that each category, or otherwise each answer, keeps its share; always the
    same ones. null: all."""
    truncate: bool = False
    """Cut the start of a question that is longer than the context, as lm-eval does silently; false: stop with an
    error."""


class Hosted(Section):
    """A model that is not a folder of the project: on the hub, or behind an endpoint."""

    hub: Pinned | None = None
    """A model on the hub with a pinned revision, as `organisation/name@<40 hex digits>`."""
    server: Teacher | None = None
    """A server with OpenAI's chat protocol, in the form of generate.teacher: {kind: openai, base_url: ..., model: ...}.
    It uses its own chat template and returns no likelihoods."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.hub) == bool(self.server):
            raise ValueError("give either hub or server")
        if self.server and self.server.kind not in ("openai", "huggingface"):
            raise ValueError("a server's kind must be openai or huggingface; put a folder into evaluate.models")
        return self


class Settings(Section):
    """The section `evaluate`."""

    metrics: list[Metric] = Field(default_factory=lambda: [Metric(kind="exact_match")], min_length=1)
    """How answers are scored. Each metric adds a column to the predictions and a score with a confidence interval."""
    system: str = "Answer with nothing but the answer."
    """System prompt of base_system; a row's own system prompt follows it."""
    shots: Positive = 3
    """Training rows that base_few_shot sees as earlier turns; also the number of nearest rows for `retrieved` and of
    passages for `documents`. Fewer if the context is short."""
    batch_size: Positive = 32
    """Most rows answered at once; rows are sorted by length."""
    batch_tokens: Positive = 65536
    """Most tokens in a batch, including padding and room for answers; limits the memory."""
    max_new_tokens: Positive | None = None
    """Longest answer, in tokens; null: 8 more than the longest reference, but at most half of the model's context."""
    limit: Positive | None = None
    """Number of test rows to ask, drawn so that each class, or otherwise each slice and source, keeps its share; always
    the same rows. null: all."""
    engine: Annotated[EngineChoice, Field(exclude_if=by_transformers)] = EngineChoice()
    """What computes the candidates: transformers, or vLLM on a GPU."""
    threads: Positive = 1
    """CPU threads. They are part of the result: another number sums in another order and may flip a close decision."""
    models: dict[Name, Location] = Field(default_factory=dict)
    """Further models to compare with, as NAME: FOLDER in the project."""
    hosted: dict[Name, Hosted] = Field(default_factory=dict)
    """Further models to compare with, on the hub or behind an endpoint, by name."""
    retrieved: list[Literal["base", "merged"]] = Field(default_factory=list)
    """Models to ask once more, as base_retrieved and merged_retrieved, with the training rows nearest to the question
    (BM25) as earlier turns; `shots` sets their number."""
    documents: dict[Name, Location] = Field(default_factory=dict)
    """The base with the passages nearest to the question in its prompt, as NAME: FOLDER with documents (Markdown, text,
    HTML, DOCX, PDF), such as base_documents: data/manuals; `shots` sets their number."""
    prompts: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    """The base with the best of several system prompts, chosen on validation rows, as NAME: [PROMPT, ...]; a good name
    is base_best_prompt."""
    benchmarks: list[Benchmark] = Field(default_factory=list)
    """Tasks of lm-eval for the candidates in `benchmarked`; a lower score after tuning means that the model forgot
    something."""
    benchmarked: list[Name] = Field(default_factory=lambda: ["base", "merged"])
    """Candidates to run the benchmarks on."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [name for metric in self.metrics for name in metric.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two metrics are named {twice[0]}; give one of them another name")
        taken = [*KNOWN, *RETRIEVED, *self.models, *self.hosted, *self.documents, *self.prompts]
        if wrong := sorted({name for name in taken if taken.count(name) > 1}):
            raise ValueError(f"two models are named {wrong[0]}; choose another name for one")
        tasks = [benchmark.task for benchmark in self.benchmarks]
        if repeated := [task for task in tasks if tasks.count(task) > 1]:
            raise ValueError(
                f"benchmarks lists the task {repeated[0]} twice, but there is one score per task; remove one"
            )
        return self

    def teachers(self, candidate: str = "") -> list[Teacher]:
        """The server that is asked for `candidate`, if it is one."""
        hosted = self.hosted.get(candidate)
        return [hosted.server] if hosted and hosted.server else []

    def effective(self) -> dict[str, Any]:
        """What decides any candidate's scores; which other models there are does not."""
        return self.model_dump(mode="json", exclude={*LISTS})
