"""The merged model as other places want it: one folder a format, each proved against the merged model.

    python -m tasks export FORMAT

In: data/merged, data/templated/tokenizer, data/trained, data/adapters. Out: data/exported/FORMAT (and `export.json`).
Formats:

    ollama    a GGUF file and a Modelfile: the chat template translated, stop tokens, parameters
    adapters  base and adapters side by side, as vLLM (--lora-modules) and LoRAX serve them
    meta      consolidated.00.pth and params.json, as Meta's own code and torchtune read a Llama
    torchtune torchtune_model_0.pt, with Meta's params.json for its sizes
    litgpt    lit_model.pth and model_config.yaml
    cog       cog.yaml and predict.py with the model, for `cog predict` and `cog push`, and a page to ask by

data/merged itself is what transformers, vLLM, text-generation-inference and mlx-lm load; data/quantized/gguf-* is what
llama.cpp and LM Studio load.
"""

from tasks.core.declaration import ITEM, Entry, Stage, tracked
from tasks.core.errors import SettingsError
from tasks.core.paths import PATHS, Paths
from tasks.export.settings import FORMATS, Settings

__all__ = ["STAGE", "Settings", "run"]


def run(settings: Settings, paths: Paths, name: str = "") -> None:
    """Write one format; see the module's docstring."""
    if name not in FORMATS:
        raise SettingsError(f"export: unknown format '{name}'; known: {', '.join(FORMATS)}.")
    from tasks.export.run import export

    export(settings, paths, name)


STAGE = Stage(
    name="export",
    about="The model in other formats.",
    settings=Settings,
    run=run,
    entries=(
        Entry(
            foreach="export.formats",
            item=ITEM,
            inputs=(PATHS.adapters, PATHS.aligned, PATHS.base, PATHS.merged, PATHS.tokenizer, PATHS.fitted),
            outputs=(PATHS.exported(ITEM),),
            params=tracked("export", Settings, but=("formats",)),
        ),
    ),
    item="FORMAT",
)
