"""The environments of peers: `python -m benchmarks.peers.environments FOLDER [PEER ...]`.

A peer's environment holds that peer and the versions that it pins; torch and whatever it leaves open come from the
environment that this runs in, so that all are measured on one torch. Set TEMPER_PEERS to FOLDER for the benchmarks.
"""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

VARIABLE = "TEMPER_PEERS"

PACKAGES = {
    "llamafactory": (
        "llamafactory==0.9.5", "transformers==5.6.0", "trl==0.24.0", "peft==0.18.1", "accelerate==1.11.0",
        "datasets==4.0.0", "huggingface_hub<2", "tokenizers==0.22.2", "omegaconf", "antlr4-python3-runtime==4.9.3",
        "tyro<0.9.0", "shtab", "docstring-parser", "fire", "termcolor", "av", "einops", "sse-starlette",
        "torchdata==0.11.0", "matplotlib", "modelscope", "tiktoken", "sentencepiece",
    ),
    "torchtune": (
        "torchtune==0.6.1", "torchdata==0.11.0", "torchao==0.9.0", "omegaconf", "antlr4-python3-runtime==4.9.3",
        "blobfile", "kagglehub", "kagglesdk", "pycryptodomex", "tiktoken", "hf_transfer", "sentencepiece", "lxml",
    ),
    "litgpt": (
        "litgpt==0.5.13", "jsonargparse<=4.41", "lightning", "lightning-utilities", "pytorch-lightning",
        "torchmetrics", "docstring-parser", "typeshed-client", "importlib-resources",
    ),
    "axolotl": (
        "axolotl==0.19.0", "transformers==5.16.1", "trl==1.9.0", "peft==0.20.0", "accelerate==1.13.0",
        "datasets==4.8.4", "tokenizers==0.23.1", "huggingface_hub==1.17.0", "posthog==6.7.11", "backoff",
        "axolotl-contribs-lgpl", "axolotl-contribs-mit", "addict", "fire", "termcolor", "colorama", "python-dotenv",
        "hf_transfer", "numba", "llvmlite", "fastcore", "triton", "wandb",
    ),
    "mergekit": ("mergekit==0.1.5", "immutables", "click>=8.2.1,<9"),
    "lighteval": (
        "lighteval==0.13.0", "inspect-ai==0.3.285", "xxhash<4", "nltk==3.9.1", "aenum==3.1.15", "termcolor==2.3.0",
        "latex2sympy2_extended==1.0.6", "antlr4-python3-runtime==4.13.2", "pycountry", "langcodes", "tiktoken",
        "jsonlines", "jsonpath-ng", "jsonref", "tenacity", "textual", "mdit-py-plugins", "linkify-it-py",
        "agent-client-protocol", "aiobotocore", "aioitertools", "boto3", "botocore", "jmespath", "s3fs", "s3transfer",
        "fsspec==2026.6.0", "debugpy", "mmh3", "nest-asyncio2", "wrapt", "zipfile-zstd", "zipp", "zstandard",
    ),
}  # fmt: skip
"""What goes into each, without dependencies: pip would bring another torch."""

EMPTY = {"llamafactory": ("torchaudio.py",), "lighteval": ("lighteval/tasks/tasks/tinyBenchmarks.pkl",)}
"""Files that a peer loads at its start and uses for nothing that is measured: for sound, or of a task whose data it
would load from GitHub. An empty one stands for each."""

REMOVED = {"lighteval": ("mt_bench", "mix_eval", "hle.py")}
"""lighteval's tasks that ask a model of the hub to judge, which they look up at its start."""


def python(peer: str) -> Path | None:
    """The interpreter of that peer's environment; None where there is none."""
    path = Path(os.environ.get(VARIABLE, "")) / peer / "bin" / "python"
    return path if os.environ.get(VARIABLE) and path.exists() else None


def make(peer: str, folder: Path) -> None:
    """Make the environment of `peer` in `folder`. Raises `CalledProcessError` where pip cannot install it."""
    place = folder.absolute() / peer
    venv.create(place, with_pip=True)
    packages = next((place / "lib").glob("python*")) / "site-packages"
    (packages / "zz_shared.pth").write_text(sysconfig.get_path("purelib") + "\n")  # read last: the peer's come first
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, *PACKAGES[peer]], check=True)
    for name in EMPTY.get(peer, ()):
        (packages / name).write_text("")
    for task in REMOVED.get(peer, ()):
        path = packages / "lighteval" / "tasks" / "tasks" / task
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> None:
    """Make what is asked for, else all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.environments")
    parser.add_argument("folder", type=Path)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"default: {', '.join(PACKAGES)}")
    options = parser.parse_args()
    for peer in options.peers or PACKAGES:
        print(f"{peer} ...", file=sys.stderr, flush=True)
        make(peer, options.folder)


if __name__ == "__main__":
    main()
