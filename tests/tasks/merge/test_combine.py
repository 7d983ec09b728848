"""Several adapters as one: the model of peft's `add_weighted_adapter`, and reasons where it cannot be."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.core.errors import InputError, ModelError
from tasks.core.paths import Paths
from tasks.merge.combine import Combine
from tasks.merge.settings import Settings
from tasks.merge.stage import run, validate
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
        ["default", "other"], list(combine.weights.values()), "both",
        combination_type="cat" if combine.method == "linear" else combine.method,
        density=combine.density, svd_rank=combine.rank, svd_full_matrices=False,
    )  # fmt: skip
    tuned.set_adapter("both")
    with torch.no_grad():
        return tuned.eval()(torch.tensor([IDS])).logits


@pytest.mark.parametrize("method", ["linear", "svd", "ties", "dare_linear", "dare_ties", "ties_svd"])
def test_as_peft_combines_them(project: Paths, method: Any) -> None:
    from transformers import AutoModelForCausalLM

    acting = {"density": 0.6} if method.startswith(("ties", "dare")) else {}
    acting |= {"rank": 6} if method.endswith("svd") else {}
    combine = Combine.model_validate({"weights": {"trained": 0.7, "other": 0.5}, "method": method, **acting})
    run(Settings(combine=combine), project)
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(project.merged)(torch.tensor([IDS])).logits
    expected = by_peft(project, combine)
    assert (logits - expected).abs().max() < 1e-3
    assert tiny.read(project.merged / "merge.json")["combined"]["method"] == method


def test_a_name_without_a_folder(project: Paths) -> None:
    with pytest.raises(InputError, match=r"data/adapters/missing is neither an adapter nor a model; found: other\."):
        run(Settings(combine=Combine(weights={"trained": 1.0, "missing": 1.0})), project)
    with pytest.raises(InputError, match="does not name `trained`"):
        run(Settings(combine=Combine(weights={"other": 1.0, "more": 1.0})), project)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": {"trained": 1.0}}, "names fewer than two"),
        ({"weights": {"trained": 0.0, "other": 0.0}}, "every weight is 0"),
        ({"weights": {"trained": 1.0, "other/": 1.0}}, "string_pattern_mismatch"),
        ({"density": 0.3, "method": "linear"}, "density has no effect on the method linear"),
        ({"rank": 4, "method": "ties"}, "rank has no effect on the method ties"),
        ({"seed": 1}, "seed has no effect on the method svd"),
    ],
)
def test_keys_without_effect_and_weights_of_nothing(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Combine.model_validate({"weights": {"trained": 1.0, "other": 1.0}, **values})


def test_ranks_that_differ(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    paths = tiny.project(tmp_path)
    get_peft_model(
        AutoModelForCausalLM.from_pretrained(paths.base / "model"),
        LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"),
    ).save_pretrained(paths.adapters / "other")
    with pytest.raises(ModelError, match=r"merge\.combine: All adapters must have the same r value"):
        run(Settings(combine=Combine(weights={"trained": 1.0, "other": 1.0}, method="ties")), paths)
    run(Settings(combine=Combine(weights={"trained": 1.0, "other": 1.0}, method="svd")), paths)


def test_other_kinds_are_refused(project: Paths) -> None:
    from tasks.merge.combine import check_combinable

    both = Combine(weights={"trained": 1.0, "other": 1.0}, rank=13)
    with pytest.raises(ModelError, match="only LoRA adapters can be combined"):
        check_combinable({"other": {"peft_type": "LOHA"}}, both)
    with pytest.raises(ModelError, match="cannot be weighted"):
        check_combinable({"other": {"peft_type": "LORA", "modules_to_save": ["lm_head"]}}, both)
    lora = {"peft_type": "LORA", "r": 4}
    with pytest.raises(ModelError, match="rank is 13, but the changes of the adapters have a rank of at most 12"):
        check_combinable({"trained": lora, "other": {**lora, "rank_pattern": {"q_proj": 8}}}, both)


def test_the_check_looks_at_adapters_that_are_there(tmp_path: Path) -> None:
    paths, settings = Paths(tmp_path), Settings(combine=Combine(weights={"trained": 1.0, "other": 1.0}))
    (paths.adapters / "other").mkdir(parents=True)
    for config, message in (('{"peft_type": "LOHA"}', "only LoRA adapters can be combined"), ("{", "not valid JSON")):
        (paths.adapters / "other" / "adapter_config.json").write_text(config)
        with pytest.raises((InputError, ModelError), match=message):
            validate(settings, paths)


def made_of(changes: list[Any], method: Any, density: float = 0.5, weights: tuple[float, ...] = (1.0, 0.5)) -> Any:
    from tasks.merge.changes import added

    by_name = {f"model{number}": weight for number, weight in enumerate(weights)}
    combine = Combine(weights=by_name, method=method, **({} if method == "linear" else {"density": density}))
    return added("layer.weight", [change.clone() for change in changes], combine)


def test_what_each_method_makes_of_changes() -> None:
    """Worked out by hand. Of four numbers with density 0.5 two stay: 3 and -1 of the first, -2 and 2 of the other."""
    changes = [torch.tensor([3.0, -1.0, 0.5, 0.0]), torch.tensor([-1.0, -2.0, 2.0, 0.1])]
    assert made_of(changes, "linear").tolist() == [2.5, -2.0, 1.5, pytest.approx(0.05)]
    assert made_of(changes, "magnitude_prune").tolist() == [3.0, -2.0, 1.0, 0.0]
    assert made_of(changes, "ties").tolist() == [3.0, -1.0, 1.0, 0.0], "at the second both agree: (-1 - 2 / 2) / 2"
    alone = [torch.ones(10_000), torch.zeros(10_000)]
    dropped = made_of(alone, "dare_linear", 0.25, (0.5, 1.0)).tolist()
    assert set(dropped) == {0.0, 2.0}, "what stays counts four times"
    assert sum(dropped) / len(dropped) == pytest.approx(0.5, abs=0.04)
    assert set(made_of(alone, "dare_ties", 0.25).tolist()) == {0.0, 4.0}


@pytest.mark.filterwarnings("ignore:The density")  # of peft, where nothing is to be left out
@pytest.mark.parametrize("density", [0.5, 0.01, 1.0])
def test_changes_in_pieces_are_those_of_peft_to_the_last_bit(density: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes of models in bfloat16, of which many are equally large, in pieces of which the last one is short; at a
    density below 1/64 torch chooses the largest in another way."""
    from peft.utils import merge_utils

    monkeypatch.setattr("tasks.merge.changes.PIECE", 4 * 1000)
    torch.manual_seed(0)
    start = torch.randn(37, 211).bfloat16()
    changes = [(start + 0.02 * torch.randn(37, 211)).bfloat16().float() - start.float() for _ in range(3)]
    assert len(changes[0].abs().unique()) < changes[0].numel() // 4
    weights = (0.7, -0.3, 1.0)
    for method in ("ties", "magnitude_prune"):
        whole = getattr(merge_utils, method)(changes, torch.tensor(weights), density)
        assert torch.equal(made_of(changes, method, density, weights).view(torch.int32), whole.view(torch.int32))
    whole = merge_utils.task_arithmetic(changes, torch.tensor(weights))
    assert torch.equal(made_of(changes, "linear", weights=weights).view(torch.int32), whole.view(torch.int32))


def test_a_second_dora_adapter_is_refused(tmp_path: Path) -> None:
    """Its norm would be taken of what the first one made of the base: the sum is neither of the two models."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    paths = tiny.project(tmp_path)
    get_peft_model(
        AutoModelForCausalLM.from_pretrained(paths.base / "model"),
        LoraConfig(r=4, use_dora=True, target_modules="all-linear", task_type="CAUSAL_LM"),
    ).save_pretrained(paths.adapters / "other")
    with pytest.raises(
        ModelError, match="other cannot be combined: peft would combine only its two factors, not its DoRA"
    ):
        run(Settings(combine=Combine(weights={"trained": 1.0, "other": 1.0})), paths)
    assert not paths.merged.exists()


def test_linear_adds_what_the_adapters_change_and_not_their_factors(project: Paths) -> None:
    run(Settings(combine=Combine(weights={"trained": 0.7, "other": 0.5}, method="linear")), project)
    base, merged = weights(project.base / "model"), weights(project.merged)
    name, layer = "model.layers.0.self_attn.q_proj.weight", "base_model.model.model.layers.0.self_attn.q_proj"
    expected = base[name].clone()
    for folder, weight in ((project.trained, 0.7), (project.adapters / "other", 0.5)):
        factors = weights(folder, "adapter_model.safetensors")
        scale = tiny.read(folder / "adapter_config.json")
        change = factors[f"{layer}.lora_B.weight"] @ factors[f"{layer}.lora_A.weight"]
        expected += weight * scale["lora_alpha"] / scale["r"] * change
    torch.testing.assert_close(merged[name], expected, atol=1e-6, rtol=0)


def weights(folder: Path, name: str = "model.safetensors") -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / name)


@pytest.fixture
def whole(tmp_path: Path) -> Paths:
    paths = tiny.project(tmp_path, method="full")
    tiny.model(paths.adapters / "other", vocabulary=len(tiny.tokenizer()), initializer_range=0.19)
    return paths


def by_hand(paths: Paths, name: str, one: float, two: float, density: float | None) -> Any:
    """TIES of the two models that `whole` lays out: trimmed, signs by the sum, the mean of those that agree."""
    start = weights(paths.base / "model")[name]
    changes = torch.stack([weights(folder)[name] - start for folder in (paths.trained, paths.adapters / "other")])
    share = torch.tensor([one, two]).reshape(2, *[1] * start.dim())
    if density is None:
        return start + (share * changes).sum(0)
    for change in changes:
        kept = int(density * change.numel())
        limit = change.abs().flatten().sort(descending=True).values[kept - 1]
        change[change.abs() < limit] = 0
    agree = changes.sign() == torch.where(changes.sum(0) >= 0, 1, -1)
    return start + (share * changes * agree).sum(0) / agree.sum(0).clamp(min=1)


@pytest.mark.parametrize(("method", "one", "two", "density"), [("linear", 0.25, 0.75, None), ("ties", 1.0, 0.5, 0.4)])
def test_whole_models_are_combined_a_weight_at_a_time(
    whole: Paths, method: Any, one: float, two: float, density: float | None
) -> None:
    run(Settings(combine=Combine(weights={"trained": one, "other": two}, method=method, density=density or 0.5)), whole)
    merged = weights(whole.merged)
    for name in ("model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight", "model.norm.weight"):
        torch.testing.assert_close(merged[name], by_hand(whole, name, one, two, density), atol=1e-6, rtol=0)
    assert tiny.read(whole.merged / "merge.json")["combined"]["method"] == method
    if method == "linear":  # a soup: the mean, whatever the base
        name = "model.layers.0.mlp.down_proj.weight"
        mean = 0.25 * weights(whole.trained)[name] + 0.75 * weights(whole.adapters / "other")[name]
        torch.testing.assert_close(merged[name], mean, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["bfloat16", "float32"])
def test_a_soup_is_the_mean_to_the_last_digit_and_needs_no_base(
    whole: Paths, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.merge.trained import Layerwise, MergeOptions

    dtype = getattr(torch, kind)
    monkeypatch.setattr("tasks.merge.soup.PIECE", 4 * 1000)  # several pieces a tensor, the last one short
    combine = Combine(weights={"trained": 0.3, "other": 0.7}, method="linear")
    other = whole.adapters / "other"
    model = Layerwise(whole.base / "model", None, whole.trained, MergeOptions(combine=combine, models={"other": other}))
    (whole.base / "model" / "model.safetensors").unlink()
    out = whole.root / "soup"
    out.mkdir()
    model.write_weights(dtype, out)
    first, second, soup = weights(whole.trained), weights(other), weights(out)
    assert set(soup) == set(first) and max(map(torch.numel, soup.values())) > 1000
    for name, value in soup.items():
        exact = 0.3 * first[name].double() + 0.7 * second[name].double()
        assert value.dtype == dtype
        steps = 2 * torch.finfo(dtype).eps * (0.3 * first[name].double().abs() + 0.7 * second[name].double().abs())
        assert bool(((value.double() - exact).abs() <= steps).all())
        assert torch.equal(value, model.source.passed(name, first[name]).to(dtype))


def test_what_dare_drops_depends_on_the_seed_alone(whole: Paths) -> None:
    results = []
    for seed in (1, 1, 2):
        combine = Combine(weights={"trained": 1.0, "other": 1.0}, method="dare_ties", seed=seed)
        run(Settings(combine=combine), whole)
        results.append((whole.merged / "model.safetensors").read_bytes())
    assert results[0] == results[1] != results[2]


def test_whole_models_that_do_not_fit_are_refused(whole: Paths) -> None:
    both = {"trained": 1.0, "other": 1.0}
    with pytest.raises(ModelError, match=r"merge\.combine\.method svd works only for adapters"):
        validate(Settings(combine=Combine(weights=both)), whole)
    tiny.adapter(whole.adapters / "small", whole.base / "model")
    with pytest.raises(ModelError, match="small is an adapter, but the others are whole models"):
        validate(Settings(combine=Combine(weights={**both, "small": 1.0}, method="linear")), whole)
    tiny.model(whole.adapters / "larger", vocabulary=len(tiny.tokenizer()) + 7)
    with pytest.raises(ModelError, match="larger differ from those of"):
        run(Settings(combine=Combine(weights={"trained": 1.0, "larger": 1.0}, method="linear")), whole)
    assert not whole.merged.exists()
