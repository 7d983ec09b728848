"""transformers loads with less, and with the same functions; so does the server from which processes are forked."""

import os
import subprocess
import sys

import pytest

from tasks.core.fixed import FIXED
from tests.flows.project import ROOT

PROGRAM = """
import functools, sys
from tasks.models.reload import LIBRARIES
cache = functools.lru_cache
for name in LIBRARIES:
    __import__(name)
from tasks.core.imports import spare_transformers
spare_transformers()
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.utils import import_utils
assert not [name for name in sys.modules if name.split(".")[0] == "scipy"]
assert functools.lru_cache is cache
structure = import_utils.create_import_structure_from_path
assert structure.cache_info().maxsize is None
assert structure.cache_info().misses == structure.cache_info().currsize > 128
assert import_utils.get_torch_version.cache_info().maxsize == 128
from transformers.loss import loss_for_object_detection
rows, columns = loss_for_object_detection.linear_sum_assignment([[4, 1, 3], [2, 0, 5], [3, 2, 2]])
assert (list(rows), list(columns)) == ([0, 1, 2], [1, 0, 2])
import scipy.optimize
assert scipy.optimize.minimize_scalar(lambda x: (x - 2) ** 2).x - 2 < 1e-6
"""


DEFERRED = """
import sys
from types import ModuleType
import tasks.core.spared
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.distributed import sharding_utils
from accelerate.utils import extract_model_from_parallel
sizes = dict(vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
model = LlamaForCausalLM(LlamaConfig(**sizes))
ids = torch.arange(10)[None]
model(ids, labels=ids).loss.backward()
torch.optim.AdamW(model.parameters()).step()
assert extract_model_from_parallel(model) is model
assert "tensor" in vars(torch.distributed)  # peft takes it to be there, and imports nothing for it
parts = ("sympy", "torch._dynamo.convert_frame", "torch.distributed.tensor._api", "torch.distributed.fsdp")
assert not [part for part in parts if part in sys.modules]
assert not hasattr(sharding_utils, "DTensor")

import torch._dynamo.eval_frame
assert "torch._dynamo.convert_frame" in sys.modules
assert type(torch._dynamo) is ModuleType
assert torch._dynamo.eval_frame.OptimizedModule.__module__ == "torch._dynamo.eval_frame"
assert torch._dynamo.disable.__module__ == "torch._dynamo.decorators"
assert torch.compile(model) is model
from torch.distributed.tensor import DTensor, Shard
assert DTensor.__module__ == "torch.distributed.tensor"
assert type(sys.modules["torch.distributed.tensor"]) is ModuleType
"""
"""A step of a training, and then what was deferred is asked for after all."""

TOGETHER = """
import sys
import tasks.core.spared
from transformers.distributed import sharding_utils
from torch.distributed.tensor import DTensor
assert sharding_utils.DTensor is DTensor
assert DTensor.__module__ == "torch.distributed.tensor"
"""

STEPS = """
import hashlib, sys
if sys.argv[1:]:
    import tasks.core.spared
import torch
from transformers import LlamaConfig, set_seed
from transformers.models.llama.modeling_llama import LlamaForCausalLM
assert ("torch._dynamo.convert_frame" in sys.modules) is not bool(sys.argv[1:])
torch.set_num_threads(1)
torch.set_deterministic_debug_mode("error")
set_seed(3)
sizes = dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2)
model = LlamaForCausalLM(LlamaConfig(attn_implementation="sdpa", **sizes))
optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
for step in range(5):
    ids = torch.randint(50, (4, 12))
    mask = torch.ones_like(ids).masked_fill(torch.arange(12) >= torch.tensor([[12], [9], [7], [12]]), 0)
    model(ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
for weights in model.state_dict().values():
    print(hashlib.sha256(weights.numpy().tobytes()).hexdigest())
"""


def run(program: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, env={**os.environ, **FIXED, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_transformers_loads_without_what_is_loaded_when_it_is_asked_for() -> None:
    """scipy, names read once; then torch's compiler and sharded tensors, in the same process."""
    run(PROGRAM + DEFERRED)


@pytest.mark.long
def test_processes_that_train_together_have_sharded_tensors() -> None:
    run(TOGETHER, WORLD_SIZE="2")


@pytest.mark.long
def test_a_training_has_the_same_weights_with_all_of_them() -> None:
    assert run(STEPS, "spared") == run(STEPS) != ""
