"""Where a commit stands among the registered models: its versions, those of its weights, and who has the stage."""

from dataclasses import dataclass

from flows.bridge import VERSION, find, model
from flows.compare.production import Promotion, promotions, same_model
from flows.system.git import git
from tasks.core.errors import InputError


@dataclass(frozen=True)
class Standing:
    """A commit, asked for a stage such as production."""

    commit: str
    """All digits of its hash."""
    name: str
    """Of the model: the one artifact of type model in dvc.yaml."""
    versions: tuple[str, ...]
    """That the commit has."""
    twin: Promotion | None
    """A version of another commit with the same weights, where this commit has none."""
    holder: Promotion | None
    """Who has the stage now."""
    before: bool
    """Whether this commit had the stage at some time."""

    @property
    def holds(self) -> bool:
        """Whether this model has the stage already: this commit, or one with its weights."""
        if not self.holder:
            return False
        return self.holder.commit == self.commit or (not self.versions and same_model(self.holder.commit, self.commit))


def standing(revision: str, stage: str) -> Standing:
    """Where the commit at `revision` stands, by git's tags. Raises `MachineError` where dvc.yaml names no model."""
    full, name = find(revision), model()[0]
    registered, versions = promotions(), tuple(versions_of(name, full))
    past = [one for one in registered if one.stage == stage]
    return Standing(
        commit=full,
        name=name,
        versions=versions,
        twin=next((one for one in registered if not versions and one.version and same_model(one.commit, full)), None),
        holder=next((one for one in past if one.current), None),
        before=any(one.commit == full for one in past),
    )


def check_version(version: str | None, there: Standing, revision: str, stage: str) -> None:
    """Raise `InputError` where the model at `revision` cannot get this version, as that of `stage`."""
    if version is None:
        return
    if not VERSION.match(version):
        raise InputError(f"--version {version}: a version is vX.Y.Z, such as v1.2.3.")
    if there.versions and version not in there.versions:
        has = f"the commit {there.commit[:10]} is {there.versions[0]}"
        raise InputError(f"{has} already, and has no other version; remove --version.")
    if there.holds:
        if there.holder and version != there.holder.label:
            raise InputError(
                f"{revision} has the model of {there.holder.label}, which is in {stage} already; remove --version."
            )
    elif there.twin and version != there.twin.version:
        raise InputError(
            f"{revision} has the model of {there.twin.version}, which needs no other version; remove --version."
        )
    elif not there.versions and git("tag", "--list", f"{there.name}@{version}"):
        raise InputError(f"--version {version}: another commit has this version; name one that is free.")


def versions_of(name: str, full: str) -> list[str]:
    """Versions of the model `name` that the commit has already."""
    from gto import api
    from gto.exceptions import ArtifactNotFound

    try:
        shown = api.show(".", name, registered_only=True)
    except ArtifactNotFound:
        return []
    return [str(one["version"]) for one in shown if one["commit_hexsha"] == full]
