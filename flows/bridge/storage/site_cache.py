"""Where DVC keeps what it remembers of files: in the checkout, for this user alone.

DVC's own place for it is /var/tmp/dvc, which every user of the machine may write to, and what lies there is unpickled:
whoever replaces it runs code as whoever calls `dvc` next. Plain `dvc` commands find the place in .dvc/config.local: in
.dvc/config it would be a relative path, which DVC takes from wherever it is called, and so a stranger's again.
"""

import os
import re
from pathlib import Path

from dvc.config import Config
from dvc.env import DVC_SITE_CACHE_DIR

from flows.system.private import private_folder

OURS = re.compile(r"/\.dvc/tmp/site(-(?P<user>\d+))?$")
"""A place that `site_cache` chose, perhaps for another user of this checkout, or before it was moved."""

_seen: set[Path] = set()
"""Checkouts that this process has looked at."""


def site_cache(root: Path) -> Path:
    """The place for the checkout `root` and this user."""
    return root / ".dvc/tmp" / f"site-{os.getuid()}"


def keep_private(root: Path) -> None:
    """Have DVC use the place of this user in `root`, or the one that the user chose.

    Raises `MachineError` where that is another user's or a link, or others can write in it.
    """
    if root in _seen:
        return
    config = Config(dvc_dir=str(root / ".dvc"), validate=False)
    configured = config.get("core", {}).get("site_cache_dir", "")
    chosen = os.environ.get(DVC_SITE_CACHE_DIR) or configured
    if chosen and not OURS.search(chosen):
        private_folder(Path(chosen).absolute())
    else:
        place = str(private_folder(site_cache(root)))
        others = OURS.search(configured)
        if others and others["user"] not in {None, str(os.getuid())}:
            os.environ[DVC_SITE_CACHE_DIR] = place  # the file is for whoever wrote it
        elif configured != place:
            with config.edit("local") as local:
                local["core"]["site_cache_dir"] = place
    _seen.add(root)
