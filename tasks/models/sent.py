"""A model's folder as bytes, for machines that have no file system in common with this one."""

from pathlib import Path


def packed(folder: Path) -> dict[str, bytes]:
    """The content of each file below `folder`, by its path there."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def unpack(files: dict[str, bytes], folder: Path) -> Path:
    """Write what `packed` read into `folder`, which is made; return it."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
