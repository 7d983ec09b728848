"""The bridge between Prefect and DVC: one dvc.yaml, two drivers. The only room that touches DVC's internals.

`survey` asks DVC about all stages at once; `ensure_current` makes one stage current by DVC's own rules, inside this
process, and says how: unchanged (dvc.lock holds), restored (the cache has the outputs of these inputs) or ran. What DVC
does not document, and this package relies on, was read in DVC 3.67; tests/flows/test_parity.py compares with the `dvc`
command.
"""

from flows.bridge.execute import How, Outcome, ensure_current, forget_dead
from flows.bridge.experiments import experiments, find, names, save
from flows.bridge.inputs import bring_inputs, settle, track
from flows.bridge.lockfile import LOCK, Item, Recorded, parse
from flows.bridge.repo import arrange, cache, members, stored
from flows.bridge.survey import StageStatus, chosen, missing, survey, upstream

__all__ = [
    "LOCK",
    "How",
    "Item",
    "Outcome",
    "Recorded",
    "StageStatus",
    "arrange",
    "bring_inputs",
    "cache",
    "chosen",
    "ensure_current",
    "experiments",
    "find",
    "forget_dead",
    "members",
    "missing",
    "names",
    "parse",
    "save",
    "settle",
    "stored",
    "survey",
    "track",
    "upstream",
]
