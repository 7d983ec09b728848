"""llama.cpp as the package xllamacpp brings it, called by the C interface that its header llama.h documents.

Structures are given by their first fields and some room behind them: they are passed by value as the last argument, so
what a newer header appends keeps its default.
"""

import ctypes
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tasks.core.errors import MachineError
from tasks.core.paths import PATHS

PACKAGE = "xllamacpp"
ERROR = 4
"""ggml's level for a message that says why something failed."""

F32, F16 = 0, 1
"""Numbers of ggml's types."""


class ContextParams(ctypes.Structure):
    """llama_context_params up to the types of the cache."""

    _fields_ = [
        *[(name, ctypes.c_uint32) for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq")],
        *[(name, ctypes.c_uint32) for name in ("n_outputs_max", "n_outputs_max_per_seq")],
        *[(name, ctypes.c_int32) for name in ("n_threads", "n_threads_batch", "ctx_type", "rope_scaling_type")],
        *[(name, ctypes.c_int32) for name in ("pooling_type", "attention_type", "flash_attn_type")],
        *[(name, ctypes.c_float) for name in ("rope_freq_base", "rope_freq_scale", "yarn_ext_factor")],
        *[(name, ctypes.c_float) for name in ("yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow")],
        ("yarn_orig_ctx", ctypes.c_uint32),
        ("defrag_thold", ctypes.c_float),
        ("cb_eval", ctypes.c_void_p),
        ("cb_eval_user_data", ctypes.c_void_p),
        ("type_k", ctypes.c_int32),
        ("type_v", ctypes.c_int32),
        ("rest", ctypes.c_byte * 512),
    ]


class ModelParams(ctypes.Structure):
    """llama_model_params, of which nothing is set."""

    _fields_ = [("rest", ctypes.c_byte * 512)]


class Batch(ctypes.Structure):
    """llama_batch."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


Log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)

Watch = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)
"""ggml_backend_sched_eval_callback: a tensor, and whether it is still to be computed."""

POINTER, INT, LONG, FLAG = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_bool

FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [Log, POINTER]),
    "llama_model_default_params": (ModelParams, []),
    "llama_model_load_from_file": (POINTER, [ctypes.c_char_p, ModelParams]),
    "llama_model_free": (None, [POINTER]),
    "llama_model_n_ctx_train": (INT, [POINTER]),
    "llama_model_get_vocab": (POINTER, [POINTER]),
    "llama_model_meta_val_str": (INT, [POINTER, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]),
    "llama_vocab_n_tokens": (INT, [POINTER]),
    "llama_vocab_is_eog": (FLAG, [POINTER, INT]),
    "llama_tokenize": (INT, [POINTER, ctypes.c_char_p, INT, POINTER, INT, FLAG, FLAG]),
    "llama_context_default_params": (ContextParams, []),
    "llama_init_from_model": (POINTER, [POINTER, ContextParams]),
    "llama_free": (None, [POINTER]),
    "llama_get_memory": (POINTER, [POINTER]),
    "llama_memory_clear": (None, [POINTER, FLAG]),
    "llama_batch_init": (Batch, [INT, INT, INT]),
    "llama_batch_free": (None, [Batch]),
    "llama_decode": (INT, [POINTER, Batch]),
    "llama_get_logits_ith": (ctypes.POINTER(ctypes.c_float), [POINTER, INT]),
    "ggml_op_desc": (ctypes.c_char_p, [POINTER]),
    "ggml_get_name": (ctypes.c_char_p, [POINTER]),
    "ggml_get_data": (POINTER, [POINTER]),
    "ggml_quantize_chunk": (ctypes.c_size_t, [INT, POINTER, POINTER, LONG, LONG, LONG, POINTER]),
}
"""What is called: by its name in the header, what it returns and what it takes."""

errors: list[str] = []
"""What llama.cpp said of its last failures."""


@cache
def library() -> ctypes.CDLL:
    """The library, loaded once; it says nothing on its own.

    Raises `MachineError` where it is not there, or lays out its settings in another way.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MachineError(
            f"llama.cpp: the package {PACKAGE} is not installed; run: pip install --requirement {PATHS.requirements}"
        )
    (file,) = Path(spec.origin).parent.glob(f"{PACKAGE}*.so")
    loaded = ctypes.CDLL(str(file))
    for name, (result, takes) in FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, takes
    os.environ["GGML_NO_BACKTRACE"] = "1"  # where it ends the process, it would start a debugger first, for ten seconds
    loaded.llama_log_set(_log, None)
    loaded.llama_backend_init()
    defaults = loaded.llama_context_default_params()
    if (defaults.rope_scaling_type, defaults.yarn_ext_factor, defaults.type_k, defaults.type_v) != (-1, -1.0, F16, F16):
        raise MachineError(f"{PACKAGE}: not the tested version; run: pip install --requirement {PATHS.requirements}")
    return loaded


def _keep_errors(level: int, text: bytes, _: Any) -> None:
    if level == ERROR:
        errors[:] = [*errors[-3:], text.decode(errors="replace").strip()]


_log = Log(_keep_errors)
