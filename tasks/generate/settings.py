"""Section `generate` of params.yaml."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.core.paths import PATHS
from tasks.core.settings import Location
from tasks.core.settings import Settings as Section
from tasks.teacher.settings import Budget, Teacher

Recipe = Literal["program", "instructions", "documents", "dialogues", "preferences", "magpie", "none"]


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
    input: Location = str(PATHS.seed)
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

    def teachers(self, item: str = "") -> list[Teacher]:
        """Everyone who is asked in this recipe."""
        judge = self.preferences.judge
        return [self.teacher, *([judge] if self.recipe == "preferences" and judge else [])]
