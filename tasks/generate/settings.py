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
    """Whom the instructions address, in a few words."""
    examples: int = Field(3, ge=1)
    """Seed tasks shown to the teacher in each request."""
    each: int = Field(5, ge=1)
    """Instructions that each request asks for."""
    evolutions: int = Field(1, ge=0)
    """How many times each instruction is rewritten to be harder."""
    system: str | None = None
    """System prompt for the answers, which also becomes part of the row; null: none."""


class Documents(Section):
    """From documents to chunks, and to questions that a chunk answers."""

    chunk: int = Field(2000, ge=100)
    """Longest chunk (characters); chunks end at section and paragraph borders."""
    shortest: int = Field(80, ge=0)
    """Skip chunks with less text than this (characters)."""
    questions: int = Field(3, ge=1)
    """Questions asked for each chunk."""
    support: float = Field(0.6, ge=0, le=1)
    """Share of an answer's content words (0 to 1) that its chunk must contain; numbers and the quoted passage must
    always be there."""
    limit: int | None = Field(None, ge=1)
    """Number of chunks to ask about, spread over all documents; null: all."""


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
    """What the judge rates."""
    margin: float = Field(1.0, gt=0)
    """Smallest difference of mean ratings (1 to 5) between chosen and rejected; anything less is a tie."""
    judge: Teacher | None = None
    """The judge; null: the teacher itself."""


class Magpie(Section):
    """Instructions that the teacher writes itself when it is given nothing but the opening of a user's turn."""

    opening: str | None = None
    """The text that the teacher's chat template puts before a user message, or `llama3` or `qwen2`; null for a local
    teacher, whose own template is used."""
    stop: tuple[str, ...] = ()
    """Texts that end an instruction, in addition to the model's own."""


class Settings(Section):
    """Section `generate` of params.yaml."""

    recipe: Recipe = "program"
    """`program`: rows from the grammar in the input. `instructions`, `documents`, `dialogues`, `preferences`, `magpie`:
    rows that a teacher writes. `none`: no rows, if you bring your own data."""
    input: Location = str(PATHS.seed)
    """Folder that the recipe reads: the grammar's seed, seed tasks, documents, scenarios or prompts."""
    rows: int = Field(3000, ge=1)
    """Rows to ask for; for `program` only training rows, while other recipes leave the splits to `clean`. No effect on
    `documents`, which asks about every chunk."""
    validation_rows: int = Field(100, ge=0)
    """Validation rows to ask for; for `program`."""
    test_rows: int = Field(240, ge=2)
    """Test rows to ask for, half with new combinations, half with new phrasings; for `program`."""
    seed: int = Field(0, ge=0)
    """Seed of random draws; another seed gives other rows."""
    batch_size: int = Field(256, ge=1)
    """Rows per step of the pipeline; with a server, at least 64 for each concurrent request."""
    timeout: int = Field(3600, ge=1)
    """Longest wait for a new response (seconds); after that, the pipeline ends and the stage fails."""
    max_loss: float = Field(0.0, ge=0, le=1)
    """Share of rows (0 to 1) that may be lost for any reason except the budget before the stage fails."""
    near_duplicate: float | None = Field(0.8, gt=0, le=1)
    """Jaccard similarity of words (0 to 1) from which a question counts as a near-duplicate of an earlier one; null:
    off. Not for `program`, which compares questions with the test rows only."""
    ask_again: bool = False
    """Ask again what failed permanently in an earlier run, instead of counting it as failed again."""
    teacher: Teacher = Teacher()
    """The teacher."""
    budget: Budget = Budget()
    """The most that the responses may cost."""
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
            raise ValueError(
                "the recipe 'magpie' needs generate.magpie.opening: the text that the teacher's chat template puts "
                "before a user message")  # fmt: skip
        if self.preferences.judge is not None and self.preferences.judge.kind == "program":
            raise ValueError("generate.preferences.judge.kind must be openai, huggingface or local")
        return self

    def teachers(self, item: str = "") -> list[Teacher]:
        """Everyone who is asked in this recipe."""
        judge = self.preferences.judge
        return [self.teacher, *([judge] if self.recipe == "preferences" and judge else [])]
