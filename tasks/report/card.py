"""The model card's parts that are no plain text: the front matter, which the hub reads, and code in fences."""

import re
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from tasks.report.gather import RunResults
from tasks.report.render import TUNED
from tasks.report.settings import Settings


def _on_hub(base: dict[str, Any]) -> str | None:
    """The name of the base on the hub; None where it came from elsewhere."""
    if base["kind"] == "hub":
        return str(base["location"])
    return str(base["from"]) if base["kind"] == "scaled" and base["revision"] else None


def _task(results: RunResults) -> str:
    """What the model is for, by the hub's name."""
    if results.merge.get("embedder"):
        return "sentence-similarity"
    return "text-classification" if results.merge.get("classes") else "text-generation"


def front_matter(settings: Settings, results: RunResults) -> str:
    """YAML between the two lines of dashes: base, licence, language, and what the merged model scores."""
    metric = results.decision["metric"]
    match = results.scores[TUNED]["metrics"][metric]
    method = results.merge["method"]
    data = ModelCardData(
        model_name=settings.title,
        base_model=_on_hub(results.base),
        language=settings.language,
        license=settings.licence,
        library_name="sentence-transformers" if results.merge.get("embedder") else "transformers",
        pipeline_tag=_task(results),
        tags=["temper", "fine-tuned", method],
        eval_results=[
            EvalResult(
                task_type=_task(results),
                dataset_type="held-out",
                dataset_name="held-out rows of the training data",
                dataset_split="test",
                metric_type=metric,
                metric_name=metric.replace("_", " "),
                metric_value=match["value"],
            )
        ],
    )
    return str(data.to_yaml()).strip()


def fenced(text: str, language: str) -> str:
    """`text` as a block of code in Markdown, whatever backticks stand in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
