"""The bridge between Prefect and DVC: one dvc.yaml, two drivers. The only room that touches DVC's internals.

`survey` asks DVC about all stages at once; `ensure_current` makes one stage current by DVC's own rules, inside this
process, and says how: unchanged (dvc.lock holds), restored (the cache has the outputs of these inputs) or ran. What DVC
does not document, and this package relies on, was read in DVC 3.67; tests/flows/test_parity.py compares with the `dvc`
command.
"""

from flows.bridge.execute import How, Outcome, ensure_current, remove_stale_locks, shared, stage_key
from flows.bridge.experiments import VERSION, experiments, find, model, names, save
from flows.bridge.inputs import checkout_inputs, configure_worktree, track
from flows.bridge.lockfile import LOCK, Item, StageRecord, parse, scan
from flows.bridge.parcel import pack, unpack
from flows.bridge.refusals import unclosed
from flows.bridge.repo import cache, cached_file, cached_files, in_cache, remotes, sort_lockfile
from flows.bridge.status import NEVER
from flows.bridge.storage.recorded import check_recorded
from flows.bridge.storage.restore import upload
from flows.bridge.survey import StageStatus, check_tracked_params, chosen, missing, survey, unpulled, upstream

__all__ = [
    "LOCK",
    "NEVER",
    "VERSION",
    "How",
    "Item",
    "Outcome",
    "StageRecord",
    "StageStatus",
    "cache",
    "cached_file",
    "cached_files",
    "check_recorded",
    "check_tracked_params",
    "checkout_inputs",
    "chosen",
    "configure_worktree",
    "ensure_current",
    "experiments",
    "find",
    "in_cache",
    "missing",
    "model",
    "names",
    "pack",
    "parse",
    "remotes",
    "remove_stale_locks",
    "save",
    "scan",
    "shared",
    "sort_lockfile",
    "stage_key",
    "survey",
    "track",
    "unclosed",
    "unpack",
    "unpulled",
    "upload",
    "upstream",
]
