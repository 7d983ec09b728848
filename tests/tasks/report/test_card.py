"""The model card: valid on the Hub, with settings, versions and template, and as honest as the page."""

import re
from typing import Any

from tasks.core.files import read_json, write_json
from tasks.core.paths import Paths
from tasks.report.settings import Settings
from tasks.report.stage import run
from tests.tasks.report.finished_run import SCHEMES, TEMPLATE, page


def test_every_setting_and_version_is_told_in_page_and_card(project: Paths) -> None:
    run(Settings(), project)
    card = (project.report / "model_card.md").read_text()
    for key, value in (("train.lora.alpha", "8"), ("generate.seed", "7"), ("evaluate.max_new_tokens", "null")):
        assert re.search(rf"{re.escape(key)}</code></td><td>{value}<", page(project))
        assert f"| {key} | {value} |" in card
    assert "TrainingArguments.seed | 42" in card
    assert "torch 2.13.0, peft 0.21.2." in card


def test_card_is_valid_for_the_hub(project: Paths) -> None:
    from huggingface_hub import ModelCard

    run(Settings(title="Docker assistant", licence="apache-2.0"), project)
    data: Any = ModelCard((project.report / "model_card.md").read_text()).data
    assert data.license == "apache-2.0"
    assert data.eval_results[0].metric_value == 0.875
    assert data.model_name == "Docker assistant"


def test_card_has_the_chat_template(project: Paths) -> None:
    run(Settings(), project)
    card = (project.report / "model_card.md").read_text()
    assert f"````jinja\n{TEMPLATE}````\n" in card, "in a fence that its own backticks do not end"
    (project.merged / "chat_template.jinja").unlink()
    write_json(project.merged / "tokenizer_config.json", {"chat_template": "{{ 'one line' }}"})
    run(Settings(), project)
    assert "```jinja\n{{ 'one line' }}\n```\n" in (project.report / "model_card.md").read_text()


def test_what_an_adapter_leaves_alone_and_shares_of_low_bits_are_in_page_and_card(project: Paths) -> None:
    training = read_json(project.trained / "training.json", "train")
    experts = ["model.layers.*.mlp.experts.gate_up_proj 46.0%", "model.layers.*.mlp.gate 1.5%"]
    write_json(
        project.trained / "training.json",
        {**training, "tuned_share": 0.525, "left_out": experts, "low_bits_share": 0.875},
    )
    quantization = project.quantized(SCHEMES[0]) / "quantization.json"
    write_json(quantization, {**read_json(quantization, "quantize"), "low_bits": 0.625})
    run(Settings(), project)
    card = (project.report / "model_card.md").read_text()
    assert f"| not covered by the adapter | 47.5 % of the layers' weights: {', '.join(experts)} |" in card
    assert "| base quantised during training | 87.5 % of the layers' weights |" in card
    assert (
        f"does not cover 47.5 % of the weights in matrices, not counting embeddings and head: {', '.join(experts)}."
        in page(project)
    )
    assert all("62.5 %" in text for text in (card, page(project)))
