"""A teacher with other tokens: what it reads, the loss against one made apart, the same bytes after a kill."""

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.align import stage
from tasks.align.settings import Settings
from tasks.align.teacher import stated_licence, taught
from tasks.core.errors import InputError, SettingsError
from tasks.core.paths import Paths
from tests.tasks import support, tiny
from tests.tasks.align.test_align import hashes
from tests.tasks.train.test_train import kill_and_continue

SMALL = Settings(
    objective="gold", teacher="other", start="base", steps=6, batch_size=8, learning_rate=1e-2, warmup_steps=1,
    threads=1, logging_steps=1, checkpoint_steps=2, dtype="float32", answer_tokens=6, arguments={"lmbda": 0.0},
)  # fmt: skip

settings_with = partial(tiny.changed, SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paths = support.project(tmp_path_factory.mktemp("gold"))
    tiny.other_teacher(paths.guides / "other")
    return paths.root


def uld(
    student: Any, student_ids: list[int], student_ends: list[int], teacher: Any, ids: list[int], ends: list[int]
) -> float:
    """The loss of one answer from probabilities before each token (T, V) and where tokens end, made apart from trl.

    Groups of tokens end where both end; of a group the probabilities before its last token count, times those of the
    tokens in it before that. The sum of the absolute differences of both, sorted, is averaged over the groups.
    """

    def merged(probabilities: Any, tokens: list[int], places: list[int], common: set[int]) -> list[Any]:
        result, scale = [], 1.0
        for row, token, end in zip(probabilities, tokens, places, strict=True):
            if end in common:
                result.append(np.sort(row * scale)[::-1])
                scale = 1.0
            else:
                scale *= row[token]
        return result

    common = set(student_ends) & set(ends)
    ours, theirs = merged(student, student_ids, student_ends, common), merged(teacher, ids, ends, common)
    width = max(student.shape[1], teacher.shape[1])
    differences = [
        np.abs(np.pad(one, (0, width - len(one))) - np.pad(two, (0, width - len(two)))).sum()
        for one, two in zip(ours, theirs, strict=True)
    ]
    return float(np.mean(differences))


def test_the_loss_is_one_made_apart(project: Paths) -> None:
    from trl.experimental.gold.gold_trainer import ULDLoss, build_teacher_inputs_from_texts

    from tasks.align.arguments import trl_configuration
    from tasks.align.gold import gold_batch

    theirs, ours, answer = tiny.other_tokenizer(), tiny.tokenizer(), "docker stop web"
    own = [*ours(answer)["input_ids"], ours.eos_token_id]
    pieces = [*theirs(answer)["input_ids"], theirs.eos_token_id]
    prompt = ours("stop web")["input_ids"]
    batch = gold_batch([{"prompt": prompt, "reference_ids": own, "teacher_prompt": "[user]stop web</s>[bot]"}], ours)
    texts = (batch["original_prompt_text"], batch["original_completion_text"])
    ids, labels, _, offsets = build_teacher_inputs_from_texts(theirs, *texts)
    with torch.no_grad():
        logits = tiny.loaded(project.base / "model")(batch["input_ids"]).logits
        teacher_logits = tiny.loaded(project.guides / "other")(ids).logits
    loss = ULDLoss(trl_configuration(SMALL, project.root, 1, has_validation=False), ours, theirs)(
        logits, teacher_logits, batch["labels"], labels, batch["input_ids"], ids, batch["byte_offsets"], offsets
    )

    sides = []
    for coder, tokens, scores, start in (
        (ours, own, logits, len(prompt)), (theirs, pieces, teacher_logits, ids.shape[1] - len(pieces))
    ):  # fmt: skip
        before = scores[0, start - 1 : start - 1 + len(tokens)].softmax(-1).double().numpy()
        ends = np.cumsum([len(coder.decode([token]).encode()) for token in tokens[:-1]]).tolist()
        sides += [before, tokens, [*ends, -1]]  # the end of the answer is a place of its own
    assert loss.item() == pytest.approx(uld(*sides), rel=1e-4)
    assert len(own) < len(pieces), "the tokens are others"


def test_bytes_of_tokens_count_and_special_tokens_have_none() -> None:
    from tasks.align.gold import answers, byte_offsets

    coder = tiny.tokenizer()
    ids = coder("é web")["input_ids"] + [coder.eos_token_id]
    labels = torch.tensor([[-100, -100, *ids]])
    assert answers(labels, coder) == ["é web"]
    offsets = byte_offsets(labels, coder)[0].tolist()
    assert offsets[:2] == [[0, 0], [0, 0]]
    assert offsets[-1] == [6, 6]
    assert offsets[-2][1] == len("é web".encode()) == 6
    assert all(one[1] == two[0] for one, two in pairwise(offsets[2:]))


def test_the_teacher_reads_its_own_template(project: Paths) -> None:
    from tasks.align import prompts
    from tasks.align.dialogues import TeacherPrompts

    coder = tiny.tokenizer()
    read = TeacherPrompts(prompts.read(project, "rows", coder), project, tiny.other_tokenizer())
    for index in (0, len(read) - 1):
        item = read[index]
        asked = coder.decode(item["prompt"]).split("user\n")[1].split("<|im_end|>")[0]
        assert item["teacher_prompt"] == f"[user]{asked}</s>[bot]"


@pytest.mark.parametrize("lmbda", [0.0, pytest.param(1.0, marks=pytest.mark.long)])
def test_the_student_comes_nearer_and_ends_in_the_same_bytes_after_a_kill(project: Paths, lmbda: float) -> None:
    settings = settings_with(steps=8, arguments={"lmbda": lmbda})
    stage.run(settings, project)
    losses = support.column(project.aligned / "loss.csv", "loss")
    assert sum(losses[-2:]) < sum(losses[:2])
    first = hashes(project)
    assert str(project.root) not in (project.aligned / "training.json").read_text()
    kill_and_continue(lambda: stage.run(settings, project), 5)
    assert hashes(project) == first


def test_a_batch_in_parts_is_the_batch(project: Paths) -> None:
    results = []
    for batch, parts in ((8, 1), (2, 4)):
        values = {"steps": 2, "warmup_steps": 0, "scheduler": "constant"}
        stage.run(settings_with(batch_size=batch, gradient_accumulation=parts, **values), project)
        results.append(support.column(project.aligned / "loss.csv", "loss"))
    assert results[0] == pytest.approx(results[1], rel=1e-3)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"objective": "gkd"}, InputError, r"not those of the base.*set it to gold"),
        ({"teacher": "teacher"}, InputError, "no tokenizer here, but align.objective gold needs one"),
        ({"teacher": "pieces"}, InputError, r"its tokenizer is not byte-level BPE.*use_extended_uld: false"),
        ({"arguments": {"beta": 0.1}}, ValueError, "no effect without uld_use_hybrid_loss: true"),
        ({"arguments": {"uld_skip_teacher_eos": True}}, ValueError, "ignore where an answer ends"),
        ({"prompts": "pairs"}, ValueError, "set prompts to rows"),
        ({"arguments": {"uld_use_hybrid_loss": True, "uld_hybrid_matched_weight": 0.1}}, SettingsError, "both be None"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_by_the_check(
    project: Paths, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    pieces = tiny.pieces(["<|im_end|>"])
    pieces.save_pretrained(tiny.model(project.guides / "pieces", vocabulary=len(pieces)))
    with pytest.raises(error, match=message):
        stage.validate(settings_with(**values), project)


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: own-1.0\n---\n", "own-1.0"),
        ("---\r\nlicense: mit\r\n---\r\n", "mit"),
        ("# A model\nlicense: mit\n", "not stated"),
        ("---\n- license\n---\n", "not stated"),
        ("---\nlicense: [a\n---\n", "not stated"),
        (None, "not stated"),
    ],
)
def test_the_licence_of_a_teacher_in_a_folder_is_that_of_its_readme(
    tmp_path: Path, readme: str | None, licence: str
) -> None:
    if readme is not None:
        (tmp_path / "README.md").write_bytes(readme.encode())
    assert stated_licence(tmp_path) == licence
    paths = Paths(tmp_path / "root")
    (paths.guides / "other").mkdir(parents=True)
    (paths.guides / "other" / "config.json").write_text("{}")
    if readme is not None:
        (paths.guides / "other" / "README.md").write_bytes(readme.encode())
    assert taught(SMALL, paths) == {"from": "a folder", "teacher": "other", "licence": licence}
    assert taught(settings_with(objective="off", teacher=None), paths) == {}
