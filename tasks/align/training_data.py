"""What align learns from: rows of pairs or judged answers, prompts that the model answers, or openings of episodes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.align import prompts, teacher
from tasks.align.dialogues import Demonstrations, TeacherPrompts
from tasks.align.items import Items, check, counts, longest, read, told_file
from tasks.align.objective import Objective
from tasks.align.objectives import OBJECTIVES
from tasks.align.settings import Settings
from tasks.core.paths import Paths
from tasks.models.loading import load_tokenizer
from tasks.training import loop


@dataclass(frozen=True)
class TrainingData:
    """What is learned from."""

    objective: Objective
    train: Any
    validation: Any
    """As `train`; None where there is none."""
    work: loop.Workload
    files: list[Path]
    """Where it comes from."""
    held_out: Path
    """Where rows come from that the model is asked meanwhile."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the trainer is given besides."""

    def read(self, settings: Settings) -> list[Path]:
        """All files that the result depends on, each once."""
        return list(dict.fromkeys([*self.files, *([self.held_out] if settings.samples.prompts else [])]))


def training_data(settings: Settings, paths: Paths, tokenizer: Any) -> TrainingData:
    """The rows of the objective, or the prompts that the model shall answer."""
    name = settings.objective
    objective = OBJECTIVES[name]
    if settings.episodes.on:
        return _episodes(settings, paths, tokenizer)
    if objective.sampled:
        train_prompts = prompts.read(paths, settings.prompts, tokenizer)
        if objective.self_taught:
            template = {**objective.preset, **settings.arguments}["teacher_prompt_template"]
            train_prompts = Demonstrations(train_prompts, paths, template)
        if objective.other_tokens:
            train_prompts = TeacherPrompts(
                train_prompts, paths, load_tokenizer(teacher.check(settings, paths, tokenizer))
            )
        answers_per_prompt = settings.answers if objective.grouped else 1
        unit = "answers" if objective.grouped else "rows"
        work = loop.Workload(
            train_prompts.counts(), len(train_prompts) * answers_per_prompt, train_prompts.longest, unit
        )
        file = paths.templated / ("train.arrow" if settings.prompts == "rows" else "preferences/train.arrow")
        held_out = prompts.held_out(paths, judged=False, answered=settings.prompts)
        return TrainingData(objective, train_prompts, None, work, [file], held_out)
    train, validation = (read(paths, split, name) for split in ("train", "validation"))
    check(train, name, paths.templated)
    _, _, row_mapper = objective.load()
    train_items = Items(train, row_mapper)
    validation_items = Items(validation, row_mapper) if len(validation) else None
    kinds = ("preferences", "judged") if objective.judged else ("preferences",)
    files = [paths.templated / kind / f"{split}.arrow" for kind in kinds for split in ("train", "validation")]
    if objective.uses_distilled:
        files = [file for split in ("train", "validation") if (file := told_file(paths, split)).is_file()]
    work = loop.Workload(counts(train), len(train_items), longest(train))
    held_out = prompts.held_out(paths, judged=objective.judged, answered="rows" if objective.uses_distilled else None)
    return TrainingData(objective, train_items, validation_items, work, files, held_out)


def _episodes(settings: Settings, paths: Paths, tokenizer: Any) -> TrainingData:
    """What episodes begin with, and what plays them."""
    from tasks.align.episodes import start as episodes

    beginning = episodes.begin(settings, paths, tokenizer)
    openings = beginning.training
    work = loop.Workload(openings.counts(), len(openings) * settings.answers, openings.longest, "answers")
    options = {"player": beginning.player, "held_out": beginning.held_out, "settings": settings}
    held_out = prompts.held_out(paths, judged=False, answered=settings.prompts)
    objective = OBJECTIVES[settings.objective]
    return TrainingData(objective, openings, None, work, beginning.files, held_out, options)
