"""Turn rows into the token ids and labels that are trained, and prove them right.

    python -m tasks template

In: data/base, data/clean. Out: data/templated (`train.arrow`, `validation.arrow`, the tokenizer as it was used,
`audit.json`, `truncated.parquet`, `preview.html`). What is written here is what the trainer consumes: after this stage
nothing is tokenised, cut or masked again (INV-8).
"""

from tasks.contract.paths import Paths
from tasks.template.settings import Settings

__all__ = ["Settings", "run"]


def run(settings: Settings, paths: Paths) -> None:
    """Render, tokenise, mask, check and write; see the module's docstring."""
    from tasks.template.write import write

    write(settings, paths)
