"""transformers loads with less, and with the same functions; so does the server from which processes are forked."""

import subprocess
import sys

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


def test_transformers_loads_without_scipy_and_reads_its_folders_once() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
