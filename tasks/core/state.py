"""Where temper keeps what it knows of this machine's runs, which git and DVC leave alone."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class State:
    """Places in `.dvc/tmp`, below `root` (the folder that holds params.yaml and dvc.yaml)."""

    root: Path = Path()

    @property
    def state(self) -> Path:
        """What temper knows of this machine's runs; git and DVC leave it alone."""
        return self.root / ".dvc/tmp"

    @property
    def checkout_lock(self) -> Path:
        """Held by the run that works in this checkout."""
        return self.state / "temper.lock"

    @property
    def accepted(self) -> Path:
        """The hash of the last settings and versions that all stages took."""
        return self.state / "accepted"

    @property
    def params_history(self) -> Path:
        """params.yaml as it was before each change that temper made, and as it was before each that was undone."""
        return self.state / "params.history.json"

    @property
    def answers(self) -> Path:
        """Answers of runs as `temper compare` shows them, a file for each folder of predictions, by its hash."""
        return self.state / "answers"

    @property
    def compared(self) -> Path:
        """What commits of runs hold, as `temper compare` read it, by commit."""
        return self.state / "compared.json"

    @property
    def durations(self) -> Path:
        """How long stages took that ran on this machine, a line each."""
        return self.state / "durations.jsonl"

    @property
    def worktrees(self) -> Path:
        """Checkouts of deployed runs, a folder each, with their locks."""
        return self.state / "runs"

    @property
    def unfinished(self) -> Path:
        """Checkpoints that deployed runs left; the next run goes on from them."""
        return self.state / "unfinished"

    @property
    def responses_of_runs(self) -> Path:
        """Records of responses that deployed runs left."""
        return self.state / "records"

    @property
    def parts(self) -> Path:
        """What stages made of pieces of their input, by what each was made of, a folder a stage; runs share it."""
        return self.state / "parts"

    @property
    def flow_runs(self) -> Path:
        """Which process carries out which flow run."""
        return self.state / "flow-runs"

    @property
    def temporary(self) -> Path:
        """Temporary files, a folder for each process that lives, named by its identity."""
        return self.state / "own"
