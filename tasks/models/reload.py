"""Logits of a model folder in a process of its own, by nothing but the library's loader: what a user will get.

    with Reloader() as reloader:  # starts at once, and loads the libraries while something else is written
        ...
        logits = reloader.logits(folder, rows)

A check that reads a folder with the code that wrote it shares that code's mistakes. Here `from_pretrained` reads it, in
an interpreter that has seen neither the base nor the adapter.
"""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tasks.core.errors import CheckFailed, MachineError
from tasks.core.numbers import counted

if TYPE_CHECKING:
    import torch

LIBRARIES = [
    "tasks.core.spared",
    "transformers.models.auto.modeling_auto",
    "transformers.modeling_utils",
    "tasks.models.equivalence",
]
"""What the server of processes imports once, so that each of them begins with it and with nothing else."""

METHOD = "forkserver"
"""How processes begin: forked from a server that has imported the libraries and done nothing."""

ROOM = 3
"""A model that takes more than this part of the free memory is read from the disk while it computes."""


class Reloader:
    """A process that waits for the folder that it shall load; it ends with this one."""

    def __init__(self) -> None:
        context: Any = multiprocessing.get_context(METHOD)
        context.set_forkserver_preload(LIBRARIES)
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_answer, args=(other,), daemon=True)
        self.process.start()
        other.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()

    def logits(self, folder: Path, rows: list[list[int]]) -> list["torch.Tensor"]:
        """Logits (T, V) in float32 for each of the N `rows` (token ids) by the model in `folder`; of an embedding model
        the vector (D,).

        Raises `CheckFailed` where the folder does not load, or a weight of the model is missing in it.
        """
        from safetensors.torch import load_file

        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            out = Path(scratch) / "logits.safetensors"
            self.connection.send((folder, rows, out))
            try:
                fault: str = self.connection.recv()
            except EOFError:
                self.process.join()
                raise MachineError(
                    f"{folder}: the process that loads it again ended with exit code {self.process.exitcode}; free "
                    "some memory, then run again."
                ) from None
            if fault:
                raise CheckFailed(f"{folder}: the saved model cannot be loaded again: {fault}")
            loaded = load_file(out)
            return [loaded[str(number)] for number in range(len(rows))]


def load_plain(folder: Path, scratch: Path) -> Any:
    """The model in `folder` by `from_pretrained`, in float32; one too large for the memory stays on the disk.

    What the disk has in another form than the model wants is put into `scratch`.

    Raises `CheckFailed` where weights are missing or have other shapes: transformers would make them up.
    """
    import psutil
    import torch
    import transformers

    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    roomy = 2 * size < psutil.virtual_memory().available // ROOM  # float32 takes twice what bfloat16 stores
    placed: dict[str, Any] = {} if roomy else {"device_map": {"": "disk"}, "offload_folder": scratch}
    architecture, *_ = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False).architectures
    model, report = getattr(transformers, architecture).from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **placed
    )
    for kind, what in (
        ("missing_keys", "missing"),
        ("mismatched_keys", "of another shape than config.json says"),
    ):
        if names := sorted(map(str, report[kind])):
            raise CheckFailed(
                f"{counted(len(names), 'weights')} {what}, such as {names[0]}, which loading would fill with random "
                "values."
            )
    return model.eval()


def _answer(connection: Connection) -> None:
    """Wait for a folder, rows and a file; write the logits into the file, and send what went wrong, or nothing."""
    import torch
    from safetensors.torch import save_file

    from tasks.models.embedder import Embedder, is_embedder
    from tasks.models.equivalence import logits

    torch.set_num_threads(1)
    try:
        folder, rows, out = connection.recv()
    except EOFError:
        return
    fault = ""
    try:
        model = load_plain(folder, out.parent)
        if is_embedder(folder):
            values = Embedder.of(folder).embedded(model, rows)
        else:
            values = logits(model, rows, "merge: logits of what was written")
        save_file({str(number): value.contiguous() for number, value in enumerate(values)}, out)
    except (CheckFailed, OSError, ValueError, RuntimeError, KeyError) as error:
        fault = " ".join(str(error).split())[:300]
    connection.send(fault)
