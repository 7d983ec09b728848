"""The image of infra/Dockerfile, built without a daemon: on a base of Debian's packages, in a chroot."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.flows.project import ROOT, Toy

MISSING = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(7200),  # every locked package is downloaded and installed
    pytest.mark.skipif(bool(MISSING), reason=f"apt-get install {' '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap and a chroot want root"),
]

BUILDAH = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def buildah(*arguments: str) -> str:
    done = subprocess.run(
        ["buildah", *arguments], cwd=ROOT, env={**os.environ, **BUILDAH}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image of Debian's own packages."""
    root = tmp_path_factory.mktemp("base") / "root"
    mirror = "http://deb.debian.org/debian"
    subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(root), mirror],
        check=True,
        capture_output=True,
    )
    container = buildah("from", "scratch")
    buildah("add", container, str(root), "/")
    buildah("commit", "--quiet", "--rm", container, "localhost/temper-test-base")
    return "localhost/temper-test-base"


def test_the_image_of_a_worker_is_built_and_knows_its_commands(base: str, tmp_path: Path, fresh: Path) -> None:
    """What pip takes on this machine (certificates, wheels beside the registry) it takes in the build, too."""
    settings, volumes = "[global]\ntimeout = 180\n", ["--volume", f"{tmp_path}/pip.conf:/etc/pip.conf:ro"]
    if CERTIFICATES.is_file():
        shutil.copy(CERTIFICATES, tmp_path)
        settings += "cert = /certificates/ca-certificates.crt\n"
        volumes += ["--volume", f"{tmp_path}:/certificates:ro"]
    if (wheels := Path(os.environ.get("PIP_FIND_LINKS", "/nowhere"))).is_dir():
        settings += "find-links = /wheels\n"
        volumes += ["--volume", f"{wheels}:/wheels:ro"]
    (tmp_path / "pip.conf").write_text(settings)
    options = ["--file", "infra/Dockerfile", "--target", "worker", "--build-arg", f"BASE={base}", *volumes]
    buildah("build", *options, "--tag", "localhost/temper-test-worker", ".")
    project = Toy(shutil.copytree(fresh, tmp_path / "project"), "").path
    container = buildah("from", "localhost/temper-test-worker")
    try:
        mount = ["--volume", f"{project}:/project", "--user", "root"]
        assert "execute deployed runs" in buildah("run", container, "--", "temper", "--help")
        assert "base" in buildah("run", *mount, container, "--", "temper", "plan")
        buildah("run", *mount, container, "--", "python", "work.py", "base")
        assert (project / "data/base/model.txt").read_text()
    finally:
        buildah("rm", container)
        buildah("rmi", "localhost/temper-test-worker", base)
