"""Names of libraries that their documentation does not promise: each is still there, and used in one file of ours.

Tests may use them where they compare with a library's own arithmetic; then they are listed, too.
"""

import ast
import importlib
import inspect
import re
from importlib.metadata import version
from typing import Any, NamedTuple

import pytest

from tests.flows.project import ROOT
from tests.imports import imported

FILES = [file for top in ("flows", "tasks") for file in sorted((ROOT / top).rglob("*.py"))]
OTHERS = [file for top in ("benchmarks", "examples", "tests") for file in sorted((ROOT / top).rglob("*.py"))]

PREFECT = "flows/server/prefect_private.py"
TRANSFORMERS = "tasks/models/private_transformers.py"
PEFT = "tasks/models/private_peft.py"
SERVING = "tasks/serve/private_transformers.py"
TRL = "tasks/training/private_trl.py"
DEFERRED = "tasks/core/deferred.py"

USED = re.compile(r"(?:\.|import .*|^    )\b(_[a-zA-Z]\w*)", re.MULTILINE)
DEFINED = re.compile(r"\b(?:def|class) (_[a-zA-Z]\w*)|(?:\bself\.|^\s*|, )(_[a-zA-Z]\w*)(?=:|, | = )", re.MULTILINE)
"""What may be another's, and what is defined somewhere: by the look of it, since a tree of each file takes seconds."""

DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

UNLISTED = {
    **dict.fromkeys(("prefect.server", "prefect.cli", "prefect.events.clients", "prefect.events.worker"), PREFECT),
    **dict.fromkeys(
        ("transformers.conversion_mapping", "transformers.core_model_loading", "transformers.integrations"),
        TRANSFORMERS,
    ),
    "transformers.utils.chat_template_utils": TRANSFORMERS,
    "transformers.cli": SERVING,
    **dict.fromkeys(("peft.tuners", "peft.utils"), PEFT),
    "trl.experimental": TRL,
}
"""Modules that the documentation does not list, or calls experimental -> the one file that imports from them."""


class Private(NamedTuple):
    """A name, and who uses it."""

    file: str
    """Of ours."""
    module: str
    """Of the library."""
    name: str
    """In the module; `Class.name` for what a class has, be it set in `__init__` only. "": the module itself."""


NAMES = [
    Private(DEFERRED, "sys", "_getframe"),
    Private(DEFERRED, "torch._dynamo", "eval_frame"),
    Private(DEFERRED, "torch._dynamo._trace_wrapped_higher_order_op", "TransformGetItemToIndex"),
    Private(PREFECT, "prefect.server.concurrency.lease_storage.filesystem", ""),
    Private(PREFECT, "prefect.server.database.configurations", "AioSqliteConfiguration.begin_transaction"),
    Private(PREFECT, "prefect.server.api.server", "create_app"),
    Private(PREFECT, "prefect.cli", "app"),
    Private(PREFECT, "prefect.cli._server_utils", "uvicorn"),
    Private(PREFECT, "prefect.workers.process", "load_flow_from_flow_run"),
    Private(PREFECT, "prefect.events.clients", "get_events_client"),
    Private(PREFECT, "prefect.events.worker", "EventsWorker.drain"),
    Private("tests/conftest.py", "prefect.context", "_temporary_global_settings_context"),
    Private("tests/tasks/training/together.py", "multiprocessing.forkserver", "_forkserver"),
    Private("tests/tasks/training/together.py", "multiprocessing.forkserver", "ForkServer._stop"),
    Private("tests/reference.py", "argparse", "_SubParsersAction"),
    Private("tests/reference.py", "argparse", "_SubParsersAction._choices_actions"),
    Private(TRANSFORMERS, "transformers.utils.chat_template_utils", "_compile_jinja_template"),
    Private(TRANSFORMERS, "transformers.utils.chat_template_utils", "_alias_reasoning_fields"),
    Private(TRANSFORMERS, "transformers.utils.chat_template_utils", "render_jinja_template"),
    Private(SERVING, "transformers.cli.serving.utils", "GenerateManager.generate_streaming"),
    Private(TRANSFORMERS, "transformers.integrations.gguf", "get_gguf_tokenizer"),
    Private(TRANSFORMERS, "transformers.integrations.moe", "_can_use_grouped_mm"),
    Private(TRANSFORMERS, "transformers.conversion_mapping", "get_model_conversion_mapping"),
    Private(TRANSFORMERS, "transformers.core_model_loading", "WeightConverter.convert"),
    Private(TRANSFORMERS, "transformers.core_model_loading", "WeightRenaming"),
    Private(TRANSFORMERS, "transformers.core_model_loading", "dot_natural_key"),
    Private(TRANSFORMERS, "transformers.core_model_loading", "rename_source_key"),
    Private(TRANSFORMERS, "transformers.core_model_loading", "revert_weight_conversion"),
    Private(TRANSFORMERS, "transformers.modeling_utils", "PreTrainedModel._weight_conversions"),
    Private(TRANSFORMERS, "transformers.modeling_utils", "PreTrainedModel._can_set_attn_implementation"),
    Private(TRANSFORMERS, "transformers.configuration_utils", "PreTrainedConfig._name_or_path"),
    Private(TRANSFORMERS, "transformers.configuration_utils", "PreTrainedConfig._attn_implementation"),
    Private(TRANSFORMERS, "transformers.training_args", "TrainingArguments._n_gpu"),
    Private(TRANSFORMERS, "transformers.trainer", "Trainer._get_train_sampler"),
    Private(TRANSFORMERS, "transformers.trainer", "Trainer._prepare_inputs"),
    *(
        Private("tasks/training/private_sharding.py", "transformers.trainer", f"Trainer.{name}")
        for name in (
            "_load_best_model",
            "_load_from_checkpoint",
            "_load_optimizer_and_scheduler",
            "_save_rng_state",
        )
    ),
    *(
        Private("tasks/training/private_figures.py", "transformers.trainer", f"Trainer.{name}")
        for name in ("_tr_loss", "_globalstep_last_logged")
    ),
    Private(PEFT, "peft.tuners.tuners_utils", "BaseTunerLayer"),
    Private(PEFT, "peft.utils.other", "AuxiliaryTrainingWrapper"),
    Private(PEFT, "peft.utils", "get_peft_model_state_dict"),
    *(Private(PEFT, "peft.utils.merge_utils", name) for name in ("dare_linear", "dare_ties")),
    Private(PEFT, "peft.tuners.lora.layer", "Linear"),
    Private(PEFT, "peft.tuners.lora.layer", "ParamWrapper.merge"),
    *(
        Private(TRL, f"trl.experimental.{module}", f"{name}{kind}")
        for module, name in {
            "cpo": "CPO",
            "gmpo": "GMPO",
            "orpo": "ORPO",
            "gkd": "GKD",
            "gold": "GOLD",
            "sdft": "SDFT",
            "online_dpo": "OnlineDPO",
        }.items()
        for kind in ("Config", "Trainer")
    ),
    Private(TRL, "trl.experimental.sdft.sdft_trainer", "DemonstrationTeacherContextBuilder._compose_teacher_prompt"),
    Private(TRL, "trl.experimental.sdft", "SDFTTrainer._tokenize_prompts"),
    Private(TRL, "trl.experimental.gold", "GOLDTrainer._maybe_add_completion_byte_offsets"),
    Private(TRL, "trl.trainer.dpo_trainer", "DPOTrainer._prepare_dataset"),
    Private(TRL, "trl.trainer.kto_trainer", "KTOTrainer._prepare_dataset"),
    Private(TRL, "trl.trainer.reward_trainer", "RewardTrainer._prepare_dataset"),
    *(
        Private(TRL, "trl.trainer.grpo_trainer", f"GRPOTrainer.{name}")
        for name in (
            "_tokenize_prompts",
            "_generate_and_score_completions",
            "_generate_single_turn",
            "_calculate_rewards",
        )
    ),
    Private(TRL, "trl.trainer.rloo_trainer", "RLOOTrainer._tokenize_prompts"),
    Private(TRL, "trl.trainer.grpo_trainer", "GRPOTrainer._get_per_token_logps_and_entropies"),
    Private(TRL, "trl.trainer.rloo_trainer", "RLOOTrainer._get_per_token_logps_and_entropies"),
    *(
        Private(TRL, "trl.trainer.rloo_trainer", f"RLOOTrainer.{name}")
        for name in ("_generate", "_generate_and_score_completions", "_calculate_rewards", "_compute_loss", "_metrics")
    ),
    Private(TRL, "trl.experimental.online_dpo", "OnlineDPOTrainer._generate"),
    Private(TRL, "trl.experimental.online_dpo", "OnlineDPOTrainer._forward"),
    Private(TRL, "trl.generation.vllm_generation", "VLLMGeneration._iter_named_params"),
    Private(TRL, "trl.generation.vllm_generation", "VLLMGeneration._fix_param_name_to_vllm"),
    Private(TRL, "trl.trainer.sft_trainer", "SFTTrainer._metrics"),
    Private(TRL, "trl.trainer.sft_trainer", "SFTTrainer._total_train_tokens"),
    Private(TRL, "trl.experimental.cpo", "CPOTrainer._stored_metrics"),
    Private("flows/bridge/repo.py", "dvc.rwlock", "_edit_rwlock"),
    Private("flows/bridge/execute.py", "dvc.stage.cache", "_get_cache_hash"),
    Private("flows/bridge/execute.py", "dvc.repo", "Repo._reset"),
    Private("flows/bridge/repo.py", "dvc.repo", "Repo._reset"),
    Private("flows/bridge/storage/objects.py", "dvc_data.fsutils", "_localfs_info"),
    Private("flows/bridge/storage/objects.py", "dvc_data.hashfile.state", "State._get"),
    Private("flows/bridge/storage/objects.py", "dvc_data.hashfile.state", "_checksum"),
    Private("flows/bridge/storage/restore.py", "dvc.stage.cache", "StageCache._create_stage"),
    Private("flows/bridge/storage/run_cache.py", "dvc.stage.cache", "_get_cache_hash"),
    Private("flows/bridge/storage/run_cache.py", "dvc.stage.cache", "StageCache._get_cache_dir"),
    Private("flows/bridge/storage/run_cache.py", "dvc.stage.cache", "StageCache._create_stage"),
    Private("flows/bridge/survey.py", "dvc.stage.cache", "StageCache._create_stage"),
    Private("tasks/generate/private_distilabel.py", "distilabel.pipeline.base", "time"),
    Private("tasks/generate/private_distilabel.py", "distilabel.pipeline.local", "create_distiset"),
    Private("tasks/generate/private_distilabel.py", "distilabel.constants", "STEPS_OUTPUTS_PATH"),
    Private("tasks/generate/private_distilabel.py", "distilabel.utils.files", "list_files_in_dir"),
    Private("tasks/training/private_accelerate.py", "accelerate.utils.imports", "_is_package_available"),
    Private("tasks/generate/pipeline.py", "distilabel.pipeline.local", "Pipeline._teardown"),
    Private("tasks/generate/teacher/model.py", "distilabel.models.llms.base", "LLM._logger"),
    Private("tasks/memory/private_torch.py", "torch._subclasses.fake_tensor", "FakeTensorMode"),
    Private("tasks/memory/private_torch.py", "torch.utils._python_dispatch", "TorchDispatchMode"),
    Private("tasks/training/arguments.py", "torch.cpu", "_is_avx512_bf16_supported"),
    Private(
        "tests/tasks/align/episodes/test_trainers.py",
        "trl.trainer.grpo_trainer",
        "GRPOTrainer._get_per_token_logps_and_entropies",
    ),
    Private(
        "tests/tasks/align/test_distilled.py",
        "trl.experimental.server_distillation",
        "ServerDistillationTrainer._compute_server_forward_kl_loss",
    ),
    Private(
        "tests/tasks/align/test_generation.py", "trl.generation.vllm_generation", "VLLMGeneration._iter_named_params"
    ),
    Private(
        "tests/tasks/training/test_row_attention.py",
        "transformers.configuration_utils",
        "PreTrainedConfig._attn_implementation",
    ),
    Private("tasks/merge/layers.py", "torch.nn", "Module._parameters"),
    Private("tasks/merge/modules.py", "torch.nn", "Module._parameters"),
    Private("tasks/training/coverage.py", "torch.nn", "Module._parameters"),
]

LISTED = {(private.file, private.name.rpartition(".")[2]) for private in NAMES}


def there(private: Private) -> bool:
    """Whether the library still has the name."""
    try:
        thing: Any = importlib.import_module(private.module)
    except ModuleNotFoundError:
        return False
    *owner, name = private.name.split(".")
    if not name:
        return True
    for part in owner:
        if (thing := getattr(thing, part, None)) is None:
            return False
    if hasattr(thing, name):
        return True
    return any(name in inspect.getsource(each) for each in getattr(thing, "__mro__", [])[:-1])


@pytest.mark.filterwarnings("ignore")  # of libraries as they are imported, for other reasons than ours
@pytest.mark.parametrize("private", NAMES, ids=lambda private: f"{private.module}:{private.name}")
def test_the_library_still_has_the_name(private: Private) -> None:
    library = private.module.partition(".")[0]
    assert there(private), (
        f"{library} {version(library)} has no {private.name or 'such module'} in {private.module} any more: "
        f"mend {private.file}"
    )


def test_a_name_that_moved_is_noticed() -> None:
    assert not there(Private(PREFECT, "prefect.server.nowhere", "app"))
    assert not there(Private(PREFECT, "prefect.cli", "_nothing"))
    assert not there(Private(TRANSFORMERS, "transformers.trainer", "Trainer._nothing_of_this_name"))


def test_modules_that_no_documentation_lists_are_imported_in_one_file_for_each_library() -> None:
    strays = [
        f"{path} imports {module}: do so in {owner}"
        for file in FILES
        for module in sorted(imported(file))
        for prefix, owner in UNLISTED.items()
        if f"{module}.".startswith(f"{prefix}.") and (path := str(file.relative_to(ROOT))) != owner
    ]
    assert not strays, "; ".join(strays)


def test_private_names_of_others_are_listed() -> None:
    strays = [
        f"{path} uses {name}"
        for file in FILES
        if USED.search(text := file.read_text())
        for name in sorted(borrowed(ast.parse(text)))
        if ((path := str(file.relative_to(ROOT))), name) not in LISTED
    ]
    assert not strays, f"list them here, or do without: {'; '.join(strays)}"


def test_private_names_of_others_in_tests_and_benchmarks_are_listed() -> None:
    """Those that are ours may be tried; `_replace` and its kind are what documentation promises of named tuples."""
    texts = {file: file.read_text() for file in [*FILES, *OTHERS]}
    ours = {"_asdict", "_fields", "_make", "_replace"}
    ours |= {called or assigned for text in texts.values() for called, assigned in DEFINED.findall(text)}
    strays = [
        f"{path} uses {name}"
        for file in OTHERS
        if not ours.issuperset(USED.findall(texts[file]))
        for name in sorted(borrowed(ast.parse(texts[file])) - ours)
        if ((path := str(file.relative_to(ROOT))), name) not in LISTED
    ]
    assert not strays, f"list them here, or do without: {'; '.join(strays)}"


def borrowed(tree: ast.Module) -> set[str]:
    """Names with an underscore in front that a file uses, and does not define."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and ast.unparse(node.value) != "os":
            names.add(node.attr)
    names = {name for name in names if name.startswith("_") and not name.startswith("__")}
    return names - defined(tree) if names else names


def defined(tree: ast.Module) -> set[str]:
    """Functions, classes, variables, and what a class sets of itself."""
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS):
            own.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            each = [part for target in targets for part in ast.walk(target)]
            own |= {part.id for part in each if isinstance(part, ast.Name)}
            own |= {part.attr for part in each if isinstance(part, ast.Attribute) and ast.unparse(part.value) == "self"}
    return own
