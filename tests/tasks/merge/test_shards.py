"""safetensors a tensor at a time: the library's bytes, nothing half-written, little memory."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import MachineError, ModelError
from tasks.core.files import written
from tests.disk import small_disk
from tests.tasks import tiny

torch = pytest.importorskip("torch")

from tasks.models.shards import INDEX, stored_tensors  # noqa: E402 - after the skip
from tasks.models.writing import PlannedTensor, write  # noqa: E402

ROOT = Path(__file__).parents[3]


def tensors() -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "b.weight": torch.randn(3, 5),
        "a.weight": torch.randn(7, 2).bfloat16(),
        "ä": torch.randn(4).half(),
        "scalar": torch.tensor(2.5),
        "none": torch.empty(0, 4),
        "numbers": torch.arange(9),
        "bytes": torch.arange(5, dtype=torch.uint8),
    }


def planned(values: dict[str, Any]) -> dict[str, PlannedTensor]:
    return {name: PlannedTensor(value.dtype, tuple(value.shape), value.clone) for name, value in values.items()}


def test_the_bytes_of_the_library(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(tensors(), tmp_path / "library", metadata={"format": "pt"})
    write(tmp_path, {"model.safetensors": planned(tensors())})
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "library").read_bytes()


def test_read_back_and_copied(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    write(tmp_path / "one", {"model.safetensors": planned(tensors())})
    places = stored_tensors(tmp_path / "one")
    assert all(torch.equal(places[name].read(), value) for name, value in tensors().items())
    assert torch.equal(places["b.weight"].row(2), tensors()["b.weight"][2])
    copies = {name: PlannedTensor(tensor.dtype, tensor.shape, tensor) for name, tensor in places.items()}
    write(tmp_path / "two", {"model.safetensors": copies})
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_several_files_have_an_index_that_transformers_reads(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = tiny.model(tmp_path / "model", vocabulary=300)
    values = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    values.pop("lm_head.weight")
    half = len(values) // 2
    files = {
        "model-00001-of-00002.safetensors": planned(dict(list(values.items())[:half])),
        "model-00002-of-00002.safetensors": planned(dict(list(values.items())[half:])),
    }
    (folder / "model.safetensors").unlink()
    write(folder, files)
    assert tiny.read(folder / INDEX)["metadata"]["total_parameters"] == sum(value.numel() for value in values.values())
    reloaded = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert all(torch.equal(reloaded[name], value) for name, value in values.items())
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no such file, but model\.safetensors\.index\.json names it"):
        stored_tensors(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 20, b"\x02\x00\x00\x00\x00\x00\x00\x00[]", b"\x09" + bytes(7) + b'{"a": {}}']
)
def test_what_is_no_such_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"not a safetensors file|the header is wrong|no tensor in any"):
        stored_tensors(tmp_path)


def test_too_little_room_is_said_before_a_byte_is_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        wanted = planned({"large": torch.zeros(2**20)})
        with pytest.raises(MachineError, match=r"the model needs 4,194,304 bytes, but the disk has only [\d,]+ free"):
            write(disk.path, {"model.safetensors": wanted})
        assert not list(disk.path.glob("*"))


@pytest.fixture
def copies(tmp_path: Path) -> dict[str, dict[str, PlannedTensor]]:
    """Half a megabyte that lies on another disk, to be copied in pieces."""
    source = tmp_path / "source"
    source.mkdir()
    write(source, {"model.safetensors": planned({f"w{number}": torch.randn(64, 256) for number in range(8)})})
    return {
        "model.safetensors": {
            name: PlannedTensor(tensor.dtype, tensor.shape, tensor) for name, tensor in stored_tensors(source).items()
        }
    }


def test_killed_half_way_and_run_again(tmp_path: Path, copies: dict[str, dict[str, PlannedTensor]]) -> None:
    def work(done: Any) -> None:
        with written(tmp_path / "merged") as out:
            out.mkdir()
            write(out, copies, done)

    child = os.fork()
    if not child:
        work(lambda total: os.kill(os.getpid(), signal.SIGKILL) if total > 2**18 else None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    aside = tmp_path / ".merged.writing" / "model.safetensors"
    assert 0 < aside.stat().st_size < 2**19, "it was killed while it wrote"
    assert not (tmp_path / "merged").exists()
    work(lambda _: None)
    assert not aside.parent.exists()
    same = (tmp_path / "source" / "model.safetensors").read_bytes()
    assert (tmp_path / "merged" / "model.safetensors").read_bytes() == same


def test_a_disk_that_fills_half_way(tmp_path: Path, copies: dict[str, dict[str, PlannedTensor]]) -> None:
    """Somebody else takes the room while the model is written."""
    with small_disk(tmp_path / "disk") as disk:
        with pytest.raises(OSError, match="No space left on device"), written(disk.path / "merged") as out:
            out.mkdir()
            write(out, copies, lambda total: disk.fill() if total == 2**18 else None)
        assert [file.name for file in disk.path.iterdir()] == ["filler"]


def test_memory_is_that_of_a_tensor(tmp_path: Path) -> None:
    """64 tensors of 4 MiB, each made when its turn comes; the file is 256 MiB."""
    program = (
        "import resource, sys, torch; from pathlib import Path; from tasks.models.writing import PlannedTensor, write\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "make = lambda: torch.ones(1024, 1024)\n"
        "names = [f'w{number}' for number in range(64)]\n"
        "tensors = {name: PlannedTensor(torch.float32, (1024, 1024), make) for name in names}\n"
        "write(Path(sys.argv[1]), {'model.safetensors': tensors})\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 64 * 1024, "KiB more than before"
    assert (tmp_path / "model.safetensors").stat().st_size > 256 * 2**20
