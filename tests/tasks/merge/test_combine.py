"""Several adapters as one: the model of peft's `add_weighted_adapter`, and reasons where it cannot be."""

from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import InputError, ModelError
from tasks.core.paths import Paths
from tasks.merge.combine import Combine
from tasks.merge.settings import Settings
from tasks.merge.stage import run
from tests.tasks import tiny

torch = pytest.importorskip("torch")

IDS = list(range(3, 60))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = tiny.project(tmp_path_factory.mktemp("combine"))
    tiny.adapter(paths.adapters / "other", paths.base / "model", scale=0.08)
    return paths


def by_peft(paths: Paths, combine: Combine) -> Any:
    """Logits of the base with the combined adapter, live, by peft alone."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(paths.base / "model"), paths.trained)
    tuned.load_adapter(paths.adapters / "other", "other")
    torch.manual_seed(combine.seed)
    tuned.add_weighted_adapter(
        ["default", "other"], list(combine.weights.values()), "both", combination_type=combine.method,
        density=combine.density, svd_rank=combine.rank, svd_full_matrices=False,
    )  # fmt: skip
    tuned.set_adapter("both")
    with torch.no_grad():
        return tuned.eval()(torch.tensor([IDS])).logits


@pytest.mark.parametrize("method", ["linear", "cat", "svd", "ties", "dare_linear", "dare_ties", "ties_svd"])
def test_as_peft_combines_them(project: Paths, method: Any) -> None:
    from transformers import AutoModelForCausalLM

    combine = Combine(weights={"trained": 0.7, "other": 0.5}, method=method, density=0.6, rank=6)
    run(Settings(combine=combine), project)
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(project.merged)(torch.tensor([IDS])).logits
    expected = by_peft(project, combine)
    assert (logits - expected).abs().max() < 1e-3
    assert tiny.read(project.merged / "merge.json")["combined"]["method"] == method


def test_a_name_without_a_folder(project: Paths) -> None:
    with pytest.raises(InputError, match=r"data/adapters/missing is no adapter; there are: other\."):
        run(Settings(combine=Combine(weights={"trained": 1.0, "missing": 1.0})), project)
    with pytest.raises(InputError, match="does not name `trained`"):
        run(Settings(combine=Combine(weights={"other": 1.0})), project)


def test_ranks_that_differ(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    paths = tiny.project(tmp_path)
    get_peft_model(
        AutoModelForCausalLM.from_pretrained(paths.base / "model"),
        LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"),
    ).save_pretrained(paths.adapters / "other")
    with pytest.raises(ModelError, match=r"merge\.combine: All adapters must have the same r value"):
        run(Settings(combine=Combine(weights={"trained": 1.0, "other": 1.0}, method="linear")), paths)
    run(Settings(combine=Combine(weights={"trained": 1.0, "other": 1.0}, method="svd")), paths)


def test_other_kinds_are_refused(project: Paths) -> None:
    from tasks.merge.combine import check_combinable

    with pytest.raises(ModelError, match="only LoRA can be combined"):
        check_combinable({"other": {"peft_type": "LOHA"}})
    with pytest.raises(ModelError, match="cannot be weighted"):
        check_combinable({"other": {"peft_type": "LORA", "modules_to_save": ["lm_head"]}})


def test_a_second_dora_adapter_is_refused(tmp_path: Path) -> None:
    """Its norm would be taken of what the first one made of the base: the sum is neither of the two models."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    paths = tiny.project(tmp_path)
    get_peft_model(
        AutoModelForCausalLM.from_pretrained(paths.base / "model"),
        LoraConfig(r=4, use_dora=True, target_modules="all-linear", task_type="CAUSAL_LM"),
    ).save_pretrained(paths.adapters / "other")
    with pytest.raises(ModelError, match="other cannot be combined: of DoRA"):
        run(Settings(combine=Combine(weights={"trained": 1.0, "other": 1.0})), paths)
    assert not paths.merged.exists()
