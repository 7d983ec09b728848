"""Outputs from DVC's cache, or from a remote, in place of a run: each is read before anybody takes it for restored."""

from collections.abc import Callable
from pathlib import Path

from dvc.exceptions import CheckoutError
from dvc.output import Output
from dvc.stage import PipelineStage
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_data.hashfile.tree import Tree

from flows.bridge.repo import locked, opened
from flows.bridge.status import edited_record
from flows.bridge.storage import run_cache
from flows.bridge.storage.objects import intact
from flows.bridge.storage.records import join


def recorded(stage: PipelineStage) -> list[PipelineStage]:
    """What is on record of this stage with the inputs that it has now, the best first: stages with hashes of outputs.

    That is dvc.lock's entry, where its inputs are these, then the run cache's entries. Hashes the dependencies of
    `stage`, so call it while they are as dvc.lock has them. None where somebody edited a record of responses, and
    nothing else: the stage replays it.
    """
    if stage.is_callback or stage.always_changed:
        return []
    records = []
    if not stage.changed_stage() and stage.deps_cached() and all(out.hash_info for out in stage.outs):
        if edited_record(stage):
            return []
        entry = to_single_stage_lockfile(stage)
        records.append(stage.repo.stage_cache._create_stage(entry, wdir=stage.wdir))
    stage.save_deps()
    return [*records, *run_cache.entries(stage)]


def restore(stage: PipelineStage, records: list[PipelineStage]) -> bool:
    """Remove the outputs of `stage`, and check out those of the first record that the cache has whole, if any.

    A record of responses that lies there stays, and gets what the other has: nobody pays for those again.
    """
    stage.remove_outs()
    staying = {out.def_path for out in stage.outs if out.persist and out.exists}
    if not any(_taken(record.outs, staying) for record in records):
        return False
    for out in stage.outs:
        if not out.use_cache:
            out.unprotect()  # git has it: it is nobody's link
    return True


def check_out_missing(stage: PipelineStage) -> bool:
    """Check out those outputs of `stage` that are not there; whether the cache had them whole."""
    return checked_out([out for out in stage.outs if not out.exists])


def _taken(outs: list[Output], staying: set[str]) -> bool:
    """Check out `outs`, but those of the paths `staying`, which are joined with what is there; whether that went."""
    if [out for out in outs if not intact(out)]:
        return False
    edited = [out for out in outs if out.def_path in staying and out.changed_checksum()]
    if any(out.hash_info.isdir or not join(Path(out.fs_path), Path(out.cache_path)) for out in edited):
        return False
    return checked_out([out for out in outs if out.def_path not in staying])


def checked_out(outs: list[Output]) -> bool:
    """Check out outputs of which the cache has every object whole; whether it had. Where not, none of them is there.

    What is no link to its object is read as well: it is a copy, and copying may fail.
    """
    if [out for out in outs if not intact(out)]:  # each is read, so that all that is damaged is said at once
        return False
    try:
        for out in outs:
            with out.repo.state.checking_out():
                out.checkout(force=True)
            if out.changed_checksum():
                raise CheckoutError([str(out)])
    except CheckoutError:
        for out in outs:
            out.remove()
        return False
    return True


def download(stage: str, records: list[PipelineStage], remote: str, tell: Callable[[str], None]) -> None:
    """Bring into the cache what it lacks of the first record that the remote can complete.

    `remote` is the name of a DVC remote, "" for the default one. One that does not answer costs time, not the run;
    `tell` hears of it, as of what it has damaged.
    """
    for record in records:
        lacking = [out for out in record.outs if not intact(out)]
        try:
            for out in lacking:
                pull(out, remote)
        except Exception as error:  # whatever the client of a store comes up with
            tell(
                f"{stage}: the DVC remote did not answer, so stages that others have run may run again: {_line(error)}"
            )
            return
        before = len(record.repo.cache.local.damages)
        if not [out for out in lacking if not intact(out)]:
            return
        if len(record.repo.cache.local.damages) > before:
            tell(f"{stage}: its copy on the DVC remote is damaged; remove it there, and push again.")


def pull(out: Output, remote: str) -> None:
    """Bring the objects of an output into the cache; of a folder its list first, which says what the others are.

    DVC's own way swallows errors with lists, and its notes of what a remote has are shared by all that pull at once.
    """
    odb = out.repo.cloud.get_remote_odb(remote or None, "pull", hash_name=out.hash_name)
    odb.tmp_dir = None  # no notes
    out.repo.cloud.pull({out.hash_info}, odb=odb)
    if isinstance(obj := out.get_obj(), Tree):
        out.repo.cloud.pull({entry for _, _, entry in obj}, odb=odb)


def upload(remote: str | None) -> str:
    """Push what `dvc push` leaves out: objects of outputs that git has. Return what went wrong, "" for nothing.

    A stage comes back from the run cache with all of its outputs, or not at all.
    """
    with opened() as repo:
        with locked(repo):
            outs = [out for stage in repo.index.stages for out in stage.outs if not out.use_cache]
            objects = {out.hash_info for out in outs if intact(out)}
        try:
            return "some objects did not arrive" if repo.cloud.push(objects, remote=remote).failed else ""
        except Exception as error:  # whatever the client of a store comes up with
            return _line(error)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
