"""Whether a GGUF file is all there, by its header alone: names, sizes and places of its tensors."""

from pathlib import Path

from tasks.models.foreign import foreign


def check_whole(file: Path) -> None:
    """Raise `ModelError` where the header of `file` cannot be read, or a tensor ends behind the file's end."""
    from gguf import GGUFReader

    with foreign(file, "restore the file", "it is not a complete GGUF file"):
        GGUFReader(file)
