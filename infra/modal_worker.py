"""A worker on a graphics card rented from Modal, for one night of queued runs.

modal secret create temper PREFECT_API_URL=... PREFECT_API_AUTH_STRING=NAME:PASSWORD AWS_ACCESS_KEY_ID=... ...
modal run infra/modal_worker.py --repository https://git.example.com/me/project.git

Prefect's own work pool for Modal is a push pool of Prefect Cloud; this worker serves any server that Modal reaches. It
works in a clone, so `share: {git: origin}` in infra/stages.yaml must carry results to the remotes of git and DVC.
"""

import os
import subprocess
from pathlib import Path

import modal

HOURS = 8
"""Until Modal ends the worker, with what it is at work on; the next one goes on from the finished stages."""

image = (
    modal.Image.debian_slim(python_version="3.11")
    .apt_install("git")
    .pip_install("uv==0.13.8")
    .add_local_file("requirements.lock", "/opt/requirements.lock", copy=True)
    .run_commands("uv pip install --system --requirement /opt/requirements.lock 'dvc-s3>=3.2,<4'")
)
app = modal.App("temper-worker", image=image)


@app.function(gpu="L4", cpu=4.0, memory=32 * 1024, timeout=HOURS * 3600, secrets=[modal.Secret.from_name("temper")])
def work(repository: str) -> None:
    """Clone the project, and carry out runs; with `share` each takes from DVC's remote what others have made."""
    project = Path("/project")
    subprocess.run(["git", "clone", "--quiet", repository, str(project)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(project)}
    subprocess.run(["dvc", "fetch", "--run-cache"], cwd=project, check=False)  # nothing may have been pushed yet
    command = ["python", "-m", "flows.cli.main", "worker", "--limit", "1"]
    subprocess.run(command, cwd=project, env=environment, check=True)


@app.local_entrypoint()
def main(repository: str) -> None:
    """Start one worker, and show what it says until it ends."""
    work.remote(repository)
