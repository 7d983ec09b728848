"""Section `evaluate` of params.yaml."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.core.settings import Choice, Location, check_keys
from tasks.core.settings import Settings as Section
from tasks.evaluate.metrics.registry import METRICS
from tasks.models.hub import Pinned
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
    """What makes an answer right."""
    name: Name | None = None
    """Name of the column and of the score; null: the kind."""
    of: Literal["answer", "reasoning"] = "answer"
    """What is scored of the output and of its reference: the answer, or the reasoning before it, which the markers of
    the chat template tell apart."""
    pattern: str | None = None
    """`regex`: a regular expression as Python has it, searched for in the answer, in which ^ and $ are ends of lines.
    Without a group, `(...)`, the answer is right where it is found. With one, what the first group finds in the answer
    must be what it finds in the reference, white space aside, or the whole reference where it finds nothing there:
    `answer is (\\d+)` scores the number alone. Further groups do not count; `(?:...)` is none."""
    schema_file: str | None = None
    """`json_schema`: a file in data/scoring with a JSON Schema."""
    function: str | None = None
    """`function`: FILE.py:NAME in data/scoring, called with output, reference and row; gives a number or a bool."""
    choices: list[str] = Field(default_factory=list)
    """`multiple_choice`: the answers to choose from; empty: the key `choices` of a row's last message.
    `classification`: the classes; empty: the references of all rows of the test split."""
    by: Literal["answer", "likelihood"] = "answer"
    """`classification`: whether the class is what the model answers, or the likeliest of the classes, each with the
    token that ends it, as for `multiple_choice`; then nothing is generated."""
    length_normalised: bool = False
    """`multiple_choice`, and `classification` by likelihood: whether a log-likelihood counts by the characters of its
    text (lm-eval's `acc_norm`), which keeps long names from losing for their length; false: as it is (`acc`)."""
    timeout: float = Field(5.0, gt=0)
    """`code`: seconds that an answer may run."""
    memory: int = Field(512, ge=64)
    """`code`: MiB that an answer may use."""

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
        """Whether answers are classes."""
        return METRICS[self.kind].classes

    @property
    def asks(self) -> Literal["answer", "choice", "loss", "rank"]:
        """What the model is asked: for an answer, which of some texts is the likeliest, how likely one is, or in which
        order documents answer a question."""
        return "choice" if self.by == "likelihood" else METRICS[self.kind].asks

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_keys(self, "metric", self.kind, METRICS)
        if self.by == "likelihood" and not self.classes:
            raise ValueError(
                f"the key by is for the metric classification; it has no effect on {self.kind}, so remove it"
            )
        if self.length_normalised and self.asks != "choice":
            raise ValueError(
                "length_normalised is for multiple_choice, and for classification with by: likelihood; remove it"
            )
        if self.choices:
            self._can_choose()
        if self.of == "reasoning" and self.classes:
            raise ValueError(f"the metric {self.kind} looks at answers alone; remove `of`")
        if self.of == "reasoning" and self.asks != "answer":
            what = "ranks documents" if self.asks == "rank" else "asks for likelihoods, of whole turns"
            raise ValueError(f"the metric {self.kind} {what}; remove `of`")
        if check := METRICS[self.kind].check:
            check(self)
        if taken := sorted(RESERVED & {*self.columns}):
            raise ValueError(f"the name {taken[0]} is that of a column of the predictions; choose another")
        return self

    def _can_choose(self) -> None:
        if self.asks != "choice" and not self.classes:
            raise ValueError(
                f"the key choices is for multiple_choice and classification; it has no effect on {self.kind}, so "
                "remove it"
            )
        spaced = [" ".join(choice.split()) for choice in self.choices]
        if len(spaced) < 2:
            raise ValueError(f"choices lists {spaced[0]!r} alone; list at least two, or leave choices out")
        if twice := next((text for text in spaced if spaced.count(text) > 1), None):
            raise ValueError(f"choices lists {twice!r} twice, white space aside; take one out")


class Benchmark(Section):
    """A task of lm-eval."""

    task: str
    """Name of a task or a group that lm-eval knows, or of one that a YAML file in data/scoring defines."""
    shots: int | None = Field(None, ge=0)
    """Examples before each question; null: as many as the task says."""
    chat_template: bool = True
    """Whether questions are rendered by the chat template as in training (examples as earlier turns), or go in raw."""
    limit: Positive | None = None
    """Questions of each task that are asked, drawn so that each category, or else each answer, keeps its share; always
    the same ones. null: all."""
    truncate: bool = False
    """Whether a question longer than the context loses its start, as lm-eval does without asking; false: an error."""


class Hosted(Section):
    """A model that is not a folder of the project: on the hub, or behind an endpoint."""

    hub: Pinned | None = None
    """organisation/name@<40 hex digits>."""
    server: Teacher | None = None
    """A server with OpenAI's chat protocol, in the form of generate.teacher: {kind: openai, base_url: ..., model: ...}.
    It has its own chat template, and tells no likelihoods."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.hub) == bool(self.server):
            raise ValueError("give either hub or server")
        if self.server and self.server.kind not in ("openai", "huggingface"):
            raise ValueError("a server's kind is openai or huggingface; a folder stands in evaluate.models")
        return self


class Settings(Section):
    """The section `evaluate`."""

    metrics: list[Metric] = Field(default_factory=lambda: [Metric(kind="exact_match")], min_length=1)
    """How answers are scored; each gives a column of the predictions and a score with its interval."""
    system: str = "Answer with nothing but the answer."
    """System prompt of base_system; a row's own system prompt follows it."""
    shots: Positive = 3
    """Rows of the training split that base_few_shot sees as earlier turns; also the nearest ones, or passages, that
    further candidates see. Fewer where the context is short."""
    batch_size: Positive = 32
    """Rows answered at once, at most; they are sorted by length."""
    batch_tokens: Positive = 65536
    """Tokens of a batch at most, padding and room for answers included: bounds the memory."""
    max_new_tokens: Positive | None = None
    """Most tokens of an answer; null: the longest reference and 8 more, at most half of the model's context."""
    limit: Positive | None = None
    """Rows that are asked, drawn so that each class, or else each slice and source, keeps its share; always the same
    ones. null for all."""
    threads: Positive = 1
    """CPU threads. Part of the result: another number adds in another order and may turn a close decision."""
    models: dict[Name, Location] = Field(default_factory=dict)
    """Further models to compare with, as NAME: FOLDER below the project's."""
    hosted: dict[Name, Hosted] = Field(default_factory=dict)
    """Further models to compare with, on the hub or behind an endpoint, by name."""
    retrieved: list[Literal["base", "merged"]] = Field(default_factory=list)
    """Models that are asked a further time, as base_retrieved and merged_retrieved: after the rows of the training
    split nearest to the question (BM25), as many as shots says."""
    documents: dict[Name, Location] = Field(default_factory=dict)
    """The base with the passages nearest to the question in its prompt, as many as shots says, as NAME: FOLDER with
    documents (Markdown, text, HTML, DOCX, PDF), such as base_documents: data/manuals."""
    prompts: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    """The base with the system prompt that does best on rows of the validation split, as NAME: [PROMPT, ...], such as
    base_best_prompt."""
    benchmarks: list[Benchmark] = Field(default_factory=list)
    """Tasks of lm-eval, asked of the candidates named in benchmarked; their losses are what tuning made it forget."""
    benchmarked: list[Name] = Field(default_factory=lambda: ["base", "merged"])
    """Candidates that are asked the benchmarks."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [name for metric in self.metrics for name in metric.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two metrics are named {twice[0]}; give one of them another name")
        taken = [*KNOWN, *RETRIEVED, *self.models, *self.hosted, *self.documents, *self.prompts]
        if wrong := sorted({name for name in taken if taken.count(name) > 1}):
            raise ValueError(f"the name {wrong[0]} of a model is taken; choose another")
        tasks = [benchmark.task for benchmark in self.benchmarks]
        if repeated := [task for task in tasks if tasks.count(task) > 1]:
            raise ValueError(f"benchmarks lists the task {repeated[0]} twice, and scores are by task; take one out")
        return self

    def teachers(self, candidate: str = "") -> list[Teacher]:
        """The server that is asked for `candidate`, if it is one."""
        hosted = self.hosted.get(candidate)
        return [hosted.server] if hosted and hosted.server else []

    def effective(self) -> dict[str, Any]:
        """What decides any candidate's scores; which other models there are does not."""
        return self.model_dump(mode="json", exclude={*LISTS})
