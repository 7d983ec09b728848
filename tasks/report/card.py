"""The front matter of the model card: what the hub reads."""

from huggingface_hub import EvalResult, ModelCardData

from tasks.report import Settings
from tasks.report.gather import Story
from tasks.report.tell import TUNED


def front_matter(settings: Settings, story: Story) -> str:
    """YAML between the two lines of dashes: base, licence, language, and exact match of the merged model."""
    match = story.scores[TUNED]["exact_match"]
    method = story.merge["method"]
    data = ModelCardData(
        model_name=settings.title,
        base_model=story.base["location"] if story.base["kind"] == "hub" else None,
        language=settings.language,
        license=settings.licence,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["temper", "fine-tuned", method],
        eval_results=[
            EvalResult(
                task_type="text-generation",
                dataset_type="held-out",
                dataset_name="held-out rows of the training data",
                dataset_split="test",
                metric_type="exact_match",
                metric_name="exact match",
                metric_value=match["value"],
            )
        ],
    )
    return str(data.to_yaml()).strip()
