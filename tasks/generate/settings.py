"""Section `generate` of params.yaml."""

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tasks.contract.settings import SECRET
from tasks.contract.settings import Settings as Section

Recipe = Literal["program", "instructions", "documents", "dialogues", "preferences", "magpie", "none"]

HUGGING_FACE = "https://router.huggingface.co/v1"
"""Hugging Face's inference API, which speaks OpenAI's chat protocol."""


OWN = {"model", "messages", "prompt", "temperature", "top_p", "seed", "max_tokens", "n", "stream", "tools", "stop"}
"""Keys of a request that temper sets itself."""


class Teacher(Section):
    """Who answers, and how it is asked."""

    kind: Literal["program", "openai", "huggingface", "local"] = "program"
    """`program`: the seed's grammar, offline and exact. `openai`: any server with OpenAI's chat protocol (vLLM,
    llama.cpp, Ollama, `transformers serve`, hosted ones). `huggingface`: Hugging Face's inference API. `local`: a model
    folder, loaded in this process."""
    base_url: str | None = None
    """Address of the server with its path, such as `http://127.0.0.1:8000/v1`; for `openai`."""
    model: str | None = None
    """Name of the model on the server; for `local` its folder, recorded by its hash (a folder that changes in place
    does not by itself make the stage run again)."""
    key_variable: str | None = None
    """Name of the environment variable with the server's key, never the key itself; null for a server without. Where it
    is not set, a flow looks for a Prefect Secret of that name in lower case with dashes: `MY_KEY` is `my-key`."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Randomness of the answers (0 to 2); 0 takes the most likely."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Answers are drawn from the likeliest tokens that share this probability (0 to 1)."""
    seed: int | None = Field(None, ge=0)
    """Seed sent with each request (a number), for servers that draw by it; null sends none."""
    max_new_tokens: int = Field(128, ge=1)
    """Longest answer (tokens); an answer that reaches it was cut off, and leaves."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further keys of each request, such as `top_k` or `chat_template_kwargs`, for servers that know them."""
    concurrency: int = Field(32, ge=1)
    """Requests that are under way at once, at most."""
    requests_per_minute: int | None = Field(None, ge=1)
    """Requests started within a minute, at most; null: as many as the server takes."""
    request_timeout: float = Field(120, gt=0)
    """Longest wait for one whole answer, in seconds."""
    max_retries: int = Field(6, ge=0)
    """How often a failed request is tried again (times), later each time or when the server says (`Retry-After`)."""
    input_price: float = Field(0.0, ge=0)
    """Price of a million tokens sent, in any currency; for the totals and the budget."""
    output_price: float = Field(0.0, ge=0)
    """Price of a million tokens answered, in the same currency."""
    licence: str = "not stated"
    """Terms under which the teacher's answers may be used for training, in a sentence, for the model card."""

    @field_validator("extra")
    @classmethod
    def _extra_is_no_setting(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if taken := OWN & {*extra}:
            raise ValueError(f"{', '.join(sorted(taken))} cannot be set here")
        return extra

    @model_validator(mode="after")
    def _teacher_is_named(self) -> Self:
        for name, kinds in (("base_url", {"openai"}), ("model", {"openai", "huggingface", "local"})):
            if self.kind in kinds and not getattr(self, name):
                raise ValueError(f"a teacher of the kind '{self.kind}' needs generate.teacher.{name}")
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            raise ValueError("base_url begins with http:// or https://")
        if "@" in (self.base_url or "").split("//")[-1].split("/")[0]:
            raise ValueError("base_url holds a password; name the variable that has the key in key_variable")
        return self

    @field_validator("key_variable")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise PydanticCustomError(
                SECRET, "no name of an environment variable; if it is the key itself, take it out and revoke it"
            )
        return name

    @property
    def url(self) -> str:
        """Address of the server, without a slash at its end."""
        return (self.base_url or HUGGING_FACE).rstrip("/")

    @property
    def key_name(self) -> str | None:
        """Name of the environment variable that holds the key."""
        return self.key_variable or ("HF_TOKEN" if self.kind == "huggingface" else None)

    @property
    def name(self) -> str:
        """The teacher as rows name it."""
        return self.kind if self.kind == "program" else f"{self.kind}:{self.model}"


class Budget(Section):
    """What the responses of a run may cost, those on record included; then nothing more is asked, and all is kept."""

    max_tokens: int | None = Field(None, ge=1)
    """Tokens sent and answered; null: any number."""
    max_cost: float | None = Field(None, gt=0)
    """Cost at the teacher's prices, in their currency; null: any."""


class Instructions(Section):
    """From seed tasks to new instructions (Self-Instruct), made harder (Evol-Instruct), and answered."""

    application: str = "a helpful assistant"
    """Whom the instructions are for, in a few words."""
    examples: int = Field(3, ge=1)
    """Seed tasks that the teacher sees at a time."""
    each: int = Field(5, ge=1)
    """Instructions that it is asked for at a time."""
    evolutions: int = Field(1, ge=0)
    """How often each is rewritten to be harder (times)."""
    system: str | None = None
    """System prompt under which it is answered, and which the row has; null for none."""


class Documents(Section):
    """From documents to chunks, and to questions that a chunk answers."""

    chunk: int = Field(2000, ge=100)
    """Longest chunk (characters); chunks end where sections and paragraphs do."""
    shortest: int = Field(80, ge=0)
    """Chunks with less text than this (characters) are not asked about."""
    questions: int = Field(3, ge=1)
    """Questions asked for each chunk."""
    support: float = Field(0.6, ge=0, le=1)
    """Share of an answer's content words (0 to 1) that its chunk must hold; numbers and the quoted passage always."""
    limit: int | None = Field(None, ge=1)
    """Chunks that are asked about, spread over all documents; null: all."""


class Dialogues(Section):
    """Conversations between a simulated user and the teacher, about scenarios, with the scenarios' tools."""

    turns: int = Field(2, ge=1)
    """Questions of the user in each dialogue."""
    calls: int = Field(2, ge=1)
    """Rounds of tool calls that the teacher may make before it answers."""


class Preferences(Section):
    """Several answers to each prompt, judged in both orders (UltraFeedback)."""

    answers: int = Field(3, ge=2)
    """Answers to each prompt."""
    aspect: Literal["overall-rating", "honesty", "instruction-following"] = "overall-rating"
    """What is judged."""
    margin: float = Field(1.0, gt=0)
    """Least difference of mean ratings (1 to 5) between chosen and rejected; less is a tie."""
    judge: Teacher | None = None
    """Who judges; null: the teacher itself."""


class Magpie(Section):
    """Instructions that the teacher writes itself when it is given nothing but the opening of a user's turn."""

    opening: str | None = None
    """What its chat template puts before a user's text, as raw text, or `llama3` or `qwen2`; null for a local teacher,
    whose own template is asked."""
    stop: tuple[str, ...] = ()
    """Texts at which an instruction ends, beside the model's own."""


class Settings(Section):
    """Section `generate` of params.yaml."""

    recipe: Recipe = "program"
    """`program`: rows from the grammar in the input. `instructions`, `documents`, `dialogues`, `preferences`, `magpie`:
    rows that a teacher makes. `none`: no rows, for those who bring their own data."""
    input: str = "data/seed"
    """Folder that the recipe reads: the grammar's seed, seed tasks, documents, scenarios or prompts."""
    rows: int = Field(3000, ge=1)
    """Rows to ask for (rows); for `program` training rows, while other recipes leave the splits to `clean`. Without
    effect for `documents`, which asks about every chunk."""
    validation_rows: int = Field(100, ge=0)
    """Validation rows to ask for (rows); for `program`."""
    test_rows: int = Field(240, ge=2)
    """Test rows to ask for (rows): half with new combinations, half with new phrasings; for `program`."""
    seed: int = Field(0, ge=0)
    """Seed of the draws (a number); another seed gives other rows."""
    batch_size: int = Field(256, ge=1)
    """Rows that a step of the pipeline works on at a time; of a server's, at least 64 for each request at once."""
    timeout: int = Field(3600, ge=1)
    """Longest time without a new response (seconds); then the pipeline is ended and the stage fails."""
    max_loss: float = Field(0.0, ge=0, le=1)
    """Share of rows (0 to 1) that may be lost, for whatever reason but the budget, before the stage fails."""
    near_duplicate: float | None = Field(0.8, gt=0, le=1)
    """Overlap of words (Jaccard, 0 to 1) from which a question is too like an earlier one; null: off. Not for
    `program`, whose questions are compared with the test rows only."""
    ask_again: bool = False
    """Whether to ask again what failed for good in an earlier run, instead of counting it as failed once more."""
    teacher: Teacher = Teacher()
    """Who answers."""
    budget: Budget = Budget()
    """What it may cost."""
    instructions: Instructions = Instructions()
    """For the recipe `instructions`."""
    documents: Documents = Documents()
    """For the recipe `documents`."""
    dialogues: Dialogues = Dialogues()
    """For the recipe `dialogues`."""
    preferences: Preferences = Preferences()
    """For the recipe `preferences`."""
    magpie: Magpie = Magpie()
    """For the recipe `magpie`."""

    @model_validator(mode="after")
    def _recipe_and_teacher_fit(self) -> Self:
        if self.recipe not in ("program", "none") and self.teacher.kind == "program":
            raise ValueError(f"the recipe '{self.recipe}' needs a teacher: set generate.teacher.kind to openai, "
                             "huggingface or local")  # fmt: skip
        if self.recipe in ("preferences", "magpie") and not self.teacher.temperature:
            raise ValueError(f"the recipe '{self.recipe}' needs answers that differ: set generate.teacher.temperature "
                             "above 0, such as 0.8")  # fmt: skip
        if self.recipe == "magpie" and self.teacher.kind != "local" and not self.magpie.opening:
            raise ValueError("the recipe 'magpie' needs generate.magpie.opening, what the teacher's chat template puts "
                             "before a user's text")  # fmt: skip
        if self.preferences.judge is not None and self.preferences.judge.kind == "program":
            raise ValueError("generate.preferences.judge.kind is openai, huggingface or local")
        return self

    def teachers(self) -> list[Teacher]:
        """Everyone who is asked in this recipe."""
        judge = self.preferences.judge
        return [self.teacher, *([judge] if self.recipe == "preferences" and judge else [])]


def secret_name(variable: str) -> str:
    """Name of the Prefect Secret that a flow looks for where the environment has no such variable."""
    return variable.lower().replace("_", "-")
