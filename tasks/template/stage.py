"""Turn rows into the token ids and labels that are trained, and prove them right.

    python -m tasks template

In: data/base, data/clean. Out: data/templated (`train.arrow`, `validation.arrow`, the tokenizer as it was used,
`counts.json`, `audit.json`, `truncated.parquet`, `preview.html`). What is written here is what the trainer consumes:
after this stage nothing is tokenised, cut or masked again (INV-8). `train` reads `counts.json`, and not `audit.json`,
which counts pairs, too: new pairs do not make it run again. With `embed` the rows are single texts, and no template is
read.
"""

from tasks.core.declaration import Entry, Resources, Stage
from tasks.core.paths import PATHS, Paths
from tasks.template.settings import Settings

__all__ = ["STAGE", "Settings", "run"]


def run(settings: Settings, paths: Paths) -> None:
    """Render, tokenise, mask, check and write; see the module's docstring."""
    if settings.embed is not None:
        from tasks.template.embedding import write_texts

        write_texts(settings, paths)
        return
    from tasks.template.run import write

    write(settings, paths)


STAGE = Stage(
    name="template",
    about="Rows turned into token ids and labels.",
    settings=Settings,
    run=run,
    entries=(
        Entry(
            inputs=(PATHS.base, PATHS.rows("train"), PATHS.rows("validation"), PATHS.templates),
            outputs=(
                PATHS.templated / "judged",
                PATHS.templated / "preferences",
                PATHS.tokenizer,
                PATHS.tokens("train"),
                PATHS.tokens("validation"),
                PATHS.counts,
                PATHS.templated / "truncated.parquet",
                PATHS.preview,
            ),
            metrics=(PATHS.audit,),
        ),
    ),
    resources=Resources(torch=False),
)
