"""A checkout as a DVC experiment: `dvc exp show`, `apply` and `push` know it.

`dvc exp save` works through refs and a stash that all worktrees of a repository share, so that two at once would mix.
An experiment is a commit under a ref whose name DVC gives; here that is written in one step, which either happens or
does not.
"""

from dvc.repo.experiments.refs import EXPS_NAMESPACE, ExpRefInfo

from flows.system.git import commit, git

PATTERN = f"{EXPS_NAMESPACE}/??/*/*"
"""Refs of experiments (the commit they start from, in two parts, and the name), and not DVC's own beside them."""


def save(name: str, baseline: str, message: str) -> str:
    """Save this checkout as the experiment `name` on the commit `baseline`; return its commit. An old one goes."""
    git("add", "--all")
    saved = git("commit-tree", git("write-tree"), "-p", baseline, text=message)
    git("update-ref", str(ExpRefInfo(baseline, name)), saved)
    return saved


def find(name: str) -> str:
    """The commit of the experiment `name` (the newest, where baselines have one each), or of a revision of git."""
    refs = [ref for ref in experiments() if ref.rpartition("/")[2] == name]
    return git("rev-parse", refs[0]) if refs else commit(name)


def experiments() -> list[str]:
    """The refs of all experiments, the newest first."""
    return git("for-each-ref", "--sort=-committerdate", "--format=%(refname)", PATTERN).splitlines()


def names() -> dict[str, str]:
    """Commit -> name of each experiment."""
    lines = git("for-each-ref", "--format=%(objectname) %(refname)", PATTERN).splitlines()
    return {line.partition(" ")[0]: line.rpartition("/")[2] for line in lines}
