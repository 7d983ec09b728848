"""The bridge between Prefect and DVC: one dvc.yaml, two drivers. The only room that touches DVC's internals.

`survey` asks DVC about all stages at once; `bring` makes one stage current by DVC's own rules, inside this process,
and says how: unchanged (dvc.lock holds), restored (the cache has the outputs of these inputs) or ran. What DVC does not
document, and this package relies on, was read in DVC 3.67; tests/flows/test_parity.py compares with the `dvc` command.
"""

from flows.stage.checkout import arrange, cache
from flows.stage.experiment import experiments, find, save
from flows.stage.inputs import bring_inputs, settle, track
from flows.stage.need import Need, chosen, missing, survey, upstream
from flows.stage.outcome import How, Outcome, bring, forget_dead

__all__ = [
    "How",
    "Need",
    "Outcome",
    "arrange",
    "bring",
    "bring_inputs",
    "cache",
    "chosen",
    "experiments",
    "find",
    "forget_dead",
    "missing",
    "save",
    "settle",
    "survey",
    "track",
    "upstream",
]
