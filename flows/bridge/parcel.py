"""What a stage reads, sent to another machine: small things as a commit of git, outputs through a remote of DVC.

The commit holds params.yaml, dvc.lock and the files of git as they are in the checkout of the run; by the hashes in its
dvc.lock the other machine takes from its cache, or the remote, just what the stage reads.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc_data.hashfile.tree import Tree

from flows.bridge.lockfile import LOCK
from flows.bridge.repo import link_outputs, locked, opened
from flows.bridge.storage.objects import damages, intact
from flows.bridge.storage.restore import checked_out, pull
from flows.bridge.survey import overlap
from flows.system.git import git
from tasks.core.errors import MachineError, Unavailable
from tasks.core.numbers import counted
from tasks.core.paths import PATHS


def pack(name: str, remote: str | None) -> str:
    """Push the outputs that the stage `name` reads to a DVC remote (None: the default one); return the commit.

    Inputs that .dvc files track go along, for each checkout wants them, and records of responses. Raises `Unavailable`
    where the remote does not take them.
    """
    with opened() as repo:
        with locked(repo):  # nobody writes dvc.lock meanwhile
            reads = _reads(repo, repo.stage.load_one(name=name))
            others = [
                out
                for stage in repo.index.stages
                for out in stage.outs
                if not isinstance(stage, PipelineStage) or (out.persist and out.hash_info)
            ]
            objects = set()
            for out in {*reads, *others}:
                if out.use_cache and intact(out):
                    obj = out.get_obj()
                    objects |= {out.hash_info, *((entry for _, _, entry in obj) if isinstance(obj, Tree) else ())}
            commit = _commit(name, [out.fs_path for out in reads if not out.use_cache])
        try:
            failed = repo.cloud.push(objects, remote=remote).failed
        except Exception as error:  # whatever the client of a store comes up with
            raise Unavailable(f"the inputs of {name} could not be pushed: {' '.join(str(error).split())}") from None
        if failed:
            raise Unavailable(
                f"the inputs of {name} could not be pushed: {counted(len(failed), 'objects')} did not arrive."
            )
        return commit


def unpack(name: str, remote: str | None) -> None:
    """Check out the outputs that the stage `name` reads, from the cache, else from a DVC remote (None: the default).

    Each is read before it counts. Raises `MachineError` where neither has one whole, `Unavailable` where the remote
    does not answer.
    """
    with opened() as repo:
        link_outputs(repo)
        with locked(repo):
            outs = [out for out in _reads(repo, repo.stage.load_one(name=name)) if out.use_cache and not out.exists]
            lacking = [out for out in outs if not intact(out)]
        try:
            for out in lacking:
                pull(out, remote or "")
        except Exception as error:  # whatever the client of a store comes up with
            raise Unavailable(f"the inputs of {name} could not be pulled: {' '.join(str(error).split())}") from None
        with locked(repo):
            if not checked_out(outs):
                lost, lines = [str(out) for out in outs if not intact(out)], damages(repo)
                sentence = f"{name}: {', '.join(lost)} is incomplete in the DVC remote; push it again."
                raise MachineError(" ".join([sentence, *lines]))


def _reads(repo: Repo, stage: PipelineStage) -> list[Output]:
    """The outputs of other stages, and the inputs of .dvc files, that lie in what a stage reads, or around it."""
    paths = [Path(dep.fs_path) for dep in stage.deps]
    return [
        out
        for other in repo.index.stages
        if other.addressing != stage.addressing
        for out in other.outs
        if any(overlap(Path(out.fs_path), path) for path in paths)
    ]


def _commit(name: str, more: list[str]) -> str:
    """A commit of the checkout with params.yaml, dvc.lock and the files `more` as they are now; its index stays."""
    with TemporaryDirectory(prefix="temper-") as folder:
        index = Path(folder) / "index"
        shutil.copyfile(git("rev-parse", "--git-path", "index"), index)
        files = [str(PATHS.params), *([str(LOCK)] if LOCK.exists() else []), *more]
        git("add", "--force", "--", *files, index=index)
        tree = git("write-tree", index=index)
    return git("commit-tree", tree, "-p", "HEAD", text=f"What {name} reads\n")
