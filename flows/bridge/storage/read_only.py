"""A checkout that this user can read but not write: what DVC writes to read it lies with the temporary files."""

import tempfile
from pathlib import Path

from dvc.repo import Repo


class ReadOnlyRepo(Repo):  # type: ignore[misc]
    """DVC's checkout with locks and notes of its own; those who can write do not wait for it, and it not for them."""

    @property
    def tmp_dir(self) -> str:
        """Where DVC locks."""
        return str(Path(tempfile.gettempdir()) / "dvc")

    @property
    def site_cache_dir(self) -> str:
        """Where DVC notes hashes: each file is read anew."""
        return str(Path(tempfile.gettempdir()) / "dvc" / "site")

    def _ignore(self) -> None:
        """Leave .gitignore as it is."""
