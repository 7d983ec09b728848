"""Section `evaluate` of params.yaml."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.core.settings import Choice, Location, check_keys
from tasks.core.settings import Settings as Section
from tasks.evaluate.metrics.registry import METRICS
from tasks.models.hub import Pinned
from tasks.named.names import Name
from tasks.rows.columns import RESERVED
from tasks.teacher.settings import Teacher

Positive = Annotated[int, Field(ge=1)]
METRIC = Choice("metric", METRICS)
Kind = Annotated[str, AfterValidator(METRIC.known), Field(json_schema_extra=METRIC.describe)]

BASES = ("base", "base_system", "base_few_shot")
"""The base, asked in three ways: what is to be had without tuning."""

KNOWN = (*BASES, "adapter", "merged")
"""Candidates that every run has; all others are quantised models, named by their scheme, or models of the settings."""


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
    """`multiple_choice`: the answers to choose from; empty: the key `choices` of a row's last message."""
    timeout: float = Field(5.0, gt=0)
    """`code`: seconds that an answer may run."""
    memory: int = Field(512, ge=64)
    """`code`: MiB that an answer may use."""

    @property
    def column(self) -> str:
        """Name of the column and of the score."""
        return self.name or self.kind

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_keys(self, "metric", self.kind, METRICS)
        if self.of == "reasoning" and METRICS[self.kind].asks_likelihood:
            raise ValueError(f"the metric {self.kind} asks for likelihoods, of whole turns; take `of` out")
        if check := METRICS[self.kind].check:
            check(self)
        if self.column in RESERVED:
            raise ValueError(f"the name {self.column} is that of a column of the predictions; choose another")
        return self


class Benchmark(Section):
    """A task of lm-eval."""

    task: str
    """Name of a task or a group that lm-eval knows, or of one that a YAML file in data/scoring defines."""
    shots: int | None = Field(None, ge=0)
    """Examples before each question; null: as many as the task says."""
    chat_template: bool = True
    """Whether questions are rendered by the chat template as in training (examples as earlier turns), or go in raw."""
    limit: Positive | None = None
    """Questions that are asked, the first ones; null: all."""
    truncate: bool = False
    """Whether a question longer than the context loses its start, as lm-eval does without asking; false: an error."""


class Hosted(Section):
    """A model that is no folder of the project: on the hub, or behind an endpoint."""

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
    """Rows of the training split that base_few_shot sees as earlier turns; fewer where the context is short."""
    batch_size: Positive = 32
    """Rows answered at once, at most; they are sorted by length."""
    batch_tokens: Positive = 65536
    """Tokens of a batch at most, padding and room for answers included: bounds the memory."""
    max_new_tokens: Positive | None = None
    """Most tokens of an answer; null: the longest reference and 8 more, at most half of the model's context."""
    limit: Positive | None = None
    """Rows that are asked, the first ones of the test split; null for all."""
    threads: Positive = 1
    """CPU threads. Part of the result: another number adds in another order and may turn a close decision."""
    models: dict[Name, Location] = Field(default_factory=dict)
    """Further models to compare with, as NAME: FOLDER below the project's."""
    hosted: dict[Name, Hosted] = Field(default_factory=dict)
    """Further models to compare with, on the hub or behind an endpoint, by name."""
    benchmarks: list[Benchmark] = Field(default_factory=list)
    """Tasks of lm-eval, asked of the candidates named in benchmarked; their losses are what tuning made it forget."""
    benchmarked: list[Name] = Field(default_factory=lambda: ["base", "merged"])
    """Candidates that are asked the benchmarks."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [metric.column for metric in self.metrics]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two metrics are named {twice[0]}; give one of them another name")
        if wrong := sorted((set(KNOWN) & {*self.models, *self.hosted}) | (set(self.models) & set(self.hosted))):
            raise ValueError(f"the name {wrong[0]} of a model is taken; choose another")
        return self

    def teachers(self, candidate: str = "") -> list[Teacher]:
        """The server that is asked for `candidate`, if it is one."""
        hosted = self.hosted.get(candidate)
        return [hosted.server] if hosted and hosted.server else []

    def effective(self) -> dict[str, Any]:
        """What decides any candidate's scores; which other models there are does not."""
        return self.model_dump(mode="json", exclude={"models", "hosted"})
