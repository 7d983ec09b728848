"""What lies on the hub, by its name and the commit it is pinned to: nothing that may change under a run."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

PINNED = r"\w[\w.-]*(/\w[\w.-]*)?@[0-9a-f]{40}"


def _pinned(value: str) -> str:
    if not re.fullmatch(PINNED, value):
        raise ValueError("expected organisation/name@revision, the revision as the 40 hex digits of a commit")
    return value


Pinned = Annotated[str, AfterValidator(_pinned), Field(json_schema_extra={"pattern": f"^{PINNED}$"})]
"""A model or data set of the hub, as `organisation/name@<40 hex digits>`."""
