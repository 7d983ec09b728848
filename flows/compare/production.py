"""What was promoted, when, by whom and why, and what it replaced: read from the tags that GTO wrote.

Read by their names (`model@v1.0.0`, `model#production#3`, with `!` where it was taken back): importing GTO sets up
logging anew, and takes longer than all else.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any

from flows.bridge import LOCK, model, parse
from flows.history.committed import HERE, file_at
from flows.system.git import git

FIELDS = (
    "%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(taggername)%00%(taggerdate:iso-strict)%00%(contents)%01"
)
PRODUCTION = "production"
"""The stage whose model later runs are compared with."""

GAIN = "; gain over base "
"""What stands in a tag between the score and the gain."""

ASSIGNMENT = re.compile(r"(?P<stage>[^#!]+)(?P<revoked>!?)#(?P<number>\d+)")


@dataclass(frozen=True)
class Promotion:
    """A stage, such as production, given to a version of the model, or taken back."""

    stage: str
    number: int
    """Of the assignments of all stages, in turn."""
    commit: str
    version: str
    """"" where the commit was registered under none."""
    revoked: bool
    who: str
    when: str
    """ISO 8601."""
    scores: str
    """What the tag says of its scores."""
    why: str
    """What the decision said, or that somebody overruled it."""
    replaced: str = ""
    """The commit that had the stage before; "" for none."""
    current: bool = False
    """Whether it has the stage now."""

    @property
    def label(self) -> str:
        """Its version; the start of its commit where it has none."""
        return self.version or self.commit[:10]

    def as_json(self) -> dict[str, Any]:
        """As the page and programs have it."""
        return asdict(self)


def promotions() -> list[Promotion]:
    """Every assignment of a stage, the newest first."""
    name, _ = model()
    tags = git("for-each-ref", f"--format={FIELDS}", f"refs/tags/{name}#*", f"refs/tags/{name}@*")
    versions: dict[str, str] = {}
    assigned: list[Promotion] = []
    for tag in filter(None, (part.strip("\n") for part in tags.split("\1"))):
        label, own, target, who, when, message = tag.split("\0", 5)
        commit = target or own  # a tag without a message is the commit itself
        if label.startswith(f"{name}@"):
            if not label.endswith("!"):
                versions[commit] = label.removeprefix(f"{name}@")
        elif match := ASSIGNMENT.fullmatch(label.removeprefix(f"{name}#")):
            scores, _, why = message.strip().partition("\n\n")
            stage, number, revoked = match["stage"], int(match["number"]), bool(match["revoked"])
            assigned.append(Promotion(stage, number, commit, "", revoked, who, when, scores, " ".join(why.split())))
    return _in_turn(sorted(assigned, key=lambda one: one.number), versions)


def holder(stage: str) -> Promotion | None:
    """What gave the stage `stage` to the model that has it now; None where none has it."""
    return next((one for one in promotions() if one.stage == stage and one.current), None)


def same_model(one: str, other: str) -> bool:
    """Whether two commits (or this folder, for `.`) have the same model, byte for byte, as their dvc.lock have it."""
    _, path = model()
    hashes = [
        [stage.outs[path].md5 for stage in parse(file_at(commit, str(LOCK))).values() if path in stage.outs]
        for commit in (one, other)
    ]
    return bool(hashes[0]) and hashes[0] == hashes[1]


def already_in_production() -> str:
    """A sentence where the model of this folder is the one in production; "" elsewhere."""
    now = holder(PRODUCTION)
    if not now or not same_model(now.commit, HERE):
        return ""
    return f"This model is already in {PRODUCTION}, as {now.label}: nothing is left to promote."


def _in_turn(assigned: list[Promotion], versions: dict[str, str]) -> list[Promotion]:
    """With versions, with what each replaced, and with the last of each stage marked; the newest first."""
    holder: dict[str, str] = {}
    last = {one.stage: one.number for one in assigned}
    result = []
    for one in assigned:
        current = last[one.stage] == one.number and not one.revoked
        before = holder.get(one.stage, "")
        known = asdict(one) | {"version": versions.get(one.commit, ""), "replaced": before, "current": current}
        result.append(Promotion(**known))
        holder[one.stage] = "" if one.revoked else one.commit
    return result[::-1]
