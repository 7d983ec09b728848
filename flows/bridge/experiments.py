"""A checkout as a DVC experiment: `dvc exp show`, `apply` and `push` know it. And revisions, by the names people have.

`dvc exp save` works through refs and a stash that all worktrees of a repository share, so that two at once would mix.
An experiment is a commit under a ref whose name DVC gives; here that is written in one step, which either happens or
does not.
"""

import re

from dvc.repo.experiments.refs import EXPS_NAMESPACE, ExpRefInfo

from flows.system.git import commit, git
from tasks.core.errors import MachineError, TemperError
from tasks.core.paths import PATHS
from tasks.core.settings import read

PATTERN = f"{EXPS_NAMESPACE}/??/*/*"
"""Refs of experiments (the commit they start from, in two parts, and the name), and not DVC's own beside them."""

VERSION = re.compile(r"v\d+\.\d+\.\d+")
"""How a version of the model begins, as GTO has them."""


def save(name: str, baseline: str, message: str) -> str:
    """Save this checkout as the experiment `name` on the commit `baseline`; return its commit. An old one goes."""
    git("add", "--all")
    saved = git("commit-tree", git("write-tree"), "-p", baseline, text=message)
    git("update-ref", str(ExpRefInfo(baseline, name)), saved)
    return saved


def find(name: str) -> str:
    """The commit of the experiment `name` (the newest, where baselines have one each), of a version of the model such
    as v1.0.0, or of a revision of git.

    Raises `MachineError` where there is none, or where git has a tag like the version on another commit.
    """
    refs = [ref for ref in experiments() if ref.rpartition("/")[2] == name]
    if refs:
        return git("rev-parse", refs[0])
    if not VERSION.match(name):
        return commit(name)
    known: dict[str, str] = {}
    for tag in (f"tags/{name}", *_registered(name)):
        try:
            known[tag] = commit(tag)
        except MachineError:
            continue
    if len(set(known.values())) > 1:
        one, other = (f"{tag.removeprefix('tags/')} is {of[:10]}" for tag, of in known.items())
        raise MachineError(f"'{name}' has two meanings: the tag {one}, the version {other}; name the commit.")
    return next(iter(known.values()), "") or commit(name)


def _registered(version: str) -> list[str]:
    """The tag that GTO gives to `version` of the model; none where the project has no model."""
    try:
        return [f"tags/{model()[0]}@{version}"]
    except TemperError:
        return []


def model() -> tuple[str, str]:
    """Name and path of the artifact of dvc.yaml that is a model."""
    artifacts = read(PATHS.pipeline, "safe").get("artifacts")
    models = [
        (name, artifact)
        for name, artifact in (artifacts.items() if isinstance(artifacts, dict) else ())
        if isinstance(artifact, dict) and artifact.get("type") == "model" and artifact.get("path")
    ]
    if not models:
        raise MachineError(f"{PATHS.pipeline} declares no artifact of type model; add one with the model's path.")
    name, artifact = models[0]
    return str(name), str(artifact["path"])


def experiments() -> list[str]:
    """The refs of all experiments, the newest first."""
    return git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", PATTERN).splitlines()


def names() -> dict[str, str]:
    """Commit -> name of each experiment."""
    lines = git("for-each-ref", "--format=%(objectname) %(refname)", PATTERN).splitlines()
    return {line.partition(" ")[0]: line.rpartition("/")[2] for line in lines}
