"""How to use the model, as the card says it: each block is a command or a program that runs as it stands."""

import json
from typing import Any

from tasks.core.paths import PATHS
from tasks.report.card import fenced
from tasks.report.gather import RunResults

QUESTION = "Your question"

PORT = 8000


def usage(results: RunResults) -> str:
    """The section `Use it`, in Markdown: only ways that the run has the files for, or the command that makes them."""
    if results.merge.get("classes"):
        return _of_classifier(len(results.merge["classes"]), results.merge.get("threshold"))
    if results.merge.get("embedder"):
        return _of_embedder(results)
    tokens = max((scores.get("max_new_tokens") or 0 for scores in results.scores.values()), default=0) or 64
    parts = [
        "## Use it",
        f"The model is the folder `{PATHS.merged}` of its project, or the repository with this card. Sampling is off, "
        "as for the scores below; questions use its chat template.",
        "With transformers:",
        fenced(_transformers(tokens), "python"),
        "With OpenAI's API and a chat page, after a check that it answers as in the evaluation:",
        fenced(_curl(tokens), "sh"),
        "With vLLM:",
        fenced(f"vllm serve {PATHS.merged} --served-model-name {PATHS.merged.name}", "sh"),
        "With Ollama:",
        fenced(_ollama(), "sh"),
        "With llama.cpp:",
        fenced(_llama(results), "sh"),
        f"To compare any other server with the evaluation, run `temper serve --check http://127.0.0.1:{PORT}/v1 "
        f"{PATHS.merged.name}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _of_classifier(classes: int, threshold: float | None) -> str:
    applies = ""
    if threshold is not None:
        applies = (
            "Any number of the classes applies to a text: those whose probability, a sigmoid, is at least "
            f"{threshold} (`label_threshold` in `config.json`). "
        )
    parts = [
        "## Use it",
        f"The model is the folder `{PATHS.merged}` of its project, or the repository with this card: a classifier of "
        f"{classes} classes (`AutoModelForSequenceClassification`). {applies}It reads a prompt with the chat "
        "template's generation prompt at its end; batches are padded on the right. If your rows have a system prompt, "
        "include it.",
        "With transformers:",
        fenced(_pipeline(several=threshold is not None), "python"),
    ]
    return "\n\n".join(parts) + "\n"


def _of_embedder(results: RunResults) -> str:
    embedder = results.merge["embedder"]
    copies = [f"`{PATHS.quantized(facts['scheme'])}`" for facts in results.quantized]
    parts = [
        "## Use it",
        f"The model is the folder `{PATHS.merged}` of its project, or the repository that holds this card. It turns a "
        f"text into a vector of {results.merge['dimension']} numbers. It reads at most {embedder['length']} tokens: "
        "sentence-transformers truncates longer texts without a warning. Encode questions with `encode_query` and "
        "documents with `encode_document`: each adds its prompt, if the model has one.",
        "With sentence-transformers (`pip install sentence-transformers`):",
        fenced(_sentences(), "python"),
        *([f"Its quantised copies load in the same way: {', '.join(copies)}."] if copies else []),
    ]
    return "\n\n".join(parts) + "\n"


def _sentences() -> str:
    return "\n".join([
        "from sentence_transformers import SentenceTransformer",
        f'model = SentenceTransformer("{PATHS.merged}")',
        f'questions = model.encode_query(["{QUESTION}"])',
        'documents = model.encode_document(["A document", "Another document"])',
        "print(model.similarity(questions, documents))",
    ])  # fmt: skip


def _pipeline(*, several: bool) -> str:
    shown = 'print(model(prompt, add_special_tokens=False)[0]["label"])'
    if several:
        shown = (
            "scores = model(prompt, add_special_tokens=False, top_k=None)\n"
            'print([one["label"] for one in scores if one["score"] >= model.model.config.label_threshold])'
        )
    return "\n".join([
        "from transformers import AutoTokenizer, pipeline",
        f'tokenizer = AutoTokenizer.from_pretrained("{PATHS.merged}")',
        f'model = pipeline("text-classification", model="{PATHS.merged}", tokenizer=tokenizer)',
        f'messages = [{{"role": "user", "content": "{QUESTION}"}}]',
        "prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)",
        shown,
    ])  # fmt: skip


def _transformers(tokens: int) -> str:
    return "\n".join([
        "from transformers import pipeline",
        f'model = pipeline("text-generation", model="{PATHS.merged}", max_new_tokens={tokens}, do_sample=False)',
        f'print(model([{{"role": "user", "content": "{QUESTION}"}}])[0]["generated_text"][-1]["content"])',
    ])  # fmt: skip


def _curl(tokens: int) -> str:
    body: dict[str, Any] = {"model": PATHS.merged.name, "messages": [{"role": "user", "content": QUESTION}]}
    text = json.dumps({**body, "max_tokens": tokens})
    return "\n".join([
        f"temper serve {PATHS.merged.name} --port {PORT}   # and in another terminal:",
        f"curl http://127.0.0.1:{PORT}/v1/chat/completions -H 'Content-Type: application/json' -d '{text}'",
    ])  # fmt: skip


def _ollama() -> str:
    return "\n".join([
        "temper run --set export.formats=[ollama]",
        f"(cd {PATHS.exported('ollama')} && ollama create tuned -f Modelfile)",
        f'ollama run tuned "{QUESTION}"',
    ])  # fmt: skip


def _llama(results: RunResults) -> str:
    """The first GGUF file that the run has made; else how to make one."""
    files = [str(facts["scheme"]) for facts in results.quantized if str(facts["scheme"]).startswith("gguf-")]
    scheme = files[0] if files else "gguf-q8_0"
    lines = [] if files else [f"temper run --set quantize.schemes=[{scheme}]"]
    file = PATHS.quantized(scheme) / f"model-{scheme.removeprefix('gguf-')}.gguf"
    return "\n".join([*lines, f"llama-server --model {file} --jinja --temp 0"])
