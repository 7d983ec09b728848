"""The words of a decision and of its candidates, one for each thing, wherever a person reads them.

>>> promotion({"promote": True}), promotion({"promote": False})
('promotion allowed', 'promotion refused')
>>> candidate_name("adapter", whole=True), candidate_name("adapter", whole=False), candidate_name("nf4", whole=True)
('tuned', 'adapter', 'nf4')
"""

from collections.abc import Mapping
from typing import Any

ALLOWED, REFUSED = "allowed", "refused"
"""What the rules say of a promotion. Nobody is promoted by that: `temper promote` and the flow `retrain` do it."""

TRAINED = "adapter"
"""The candidate that is the model as it was trained, by its name in settings, files and dotted paths."""

WHOLE = "tuned"
"""What people read for it where every weight was trained: it has no adapter then."""


def permission(decision: Mapping[str, Any]) -> str:
    """`allowed` or `refused`, below a heading that says what."""
    return ALLOWED if decision["promote"] else REFUSED


def promotion(decision: Mapping[str, Any]) -> str:
    """The same where no heading says what."""
    return f"promotion {permission(decision)}"


def candidate_name(candidate: str, *, whole: bool) -> str:
    """A candidate as people read it; `whole`: whether every weight was trained."""
    return WHOLE if whole and candidate == TRAINED else candidate
