"""The stage `train`: load the base, tune it, save a whitelist of files."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from tasks.chat.stops import copy_stop_ids
from tasks.core.files import sha256, write_json, write_text, written
from tasks.core.paths import Paths
from tasks.models import start
from tasks.models.embedder import Embedder
from tasks.models.head import Head
from tasks.models.loading import grow
from tasks.models.record import base_folder, base_record
from tasks.models.tuning import described, initial, load, save
from tasks.train import classifier, embedding
from tasks.train.classes import labelled_rows
from tasks.train.settings import Settings
from tasks.train.texts import text_rows
from tasks.training import checkpoints, distributed, rows, sharding, usage
from tasks.training.adapters import attach
from tasks.training.packs import Packs
from tasks.training.samples import Asked
from tasks.training.schedule import resolved
from tasks.training.trainer import TrainingResult, fit, prepare


def tune(settings: Settings, paths: Paths) -> None:
    """Train and save `data/trained`; the checkpoints go when the result is complete.

    tune(Settings(steps=100), Paths())
    """
    result, scratch, asked = train_rows(settings, paths)
    if distributed.rank():
        sharding.send_weights(result.model)
        return
    record = base_record(paths)
    with written(paths.fitted) as out:
        out.mkdir()
        save(result.model, out, record["location"], initial(settings, scratch))
        if settings.objective == "rows":
            copy_stop_ids(paths.tokenizer, out)
        write_text(out / "loss.csv", result.curve)
        asked.save(out)
        facts = {**result.facts, **described(settings), "base": record["sha256"]}
        if settings.classifies:
            head = Head.of(result.model.config)
            facts["classes"] = list(head.classes)
            if head.threshold is not None:
                facts["threshold"] = head.threshold
        if settings.embeds:
            facts["embedder"] = asdict(Embedder.of(paths.tokenizer))
        if settings.start:
            facts["start"] = start.hashes("train", settings.start, paths)
        write_json(out / "training.json", facts)
        write_json(out / "settings.json", settings.model_dump(mode="json"))
    usage.save(paths, "train", settings, result.usage, paths.fitted)
    shutil.rmtree(scratch)


def train_rows(settings: Settings, paths: Paths, scratch: Path | None = None) -> tuple[TrainingResult, Path, Asked]:
    """Train on the templated rows; return the result, the folder of the checkpoints (`scratch`, where it is set), and
    what the model answered meanwhile.

    result, scratch, asked = train_rows(Settings(steps=10), Paths())
    """
    from transformers import AutoTokenizer

    counts = json.loads(paths.counts.read_text())
    train = rows.load(paths.tokens("train"))
    validation = rows.load(paths.tokens("validation"))
    rows.check(rows.count(train), counts["train"], "train")
    distributed.join("train", settings.launch, settings.threads)
    prepare(settings)
    base, record = base_folder(paths), base_record(paths)
    tokenizer = AutoTokenizer.from_pretrained(paths.tokenizer, trust_remote_code=False)
    labelled = labelled_rows(settings, train, validation, tokenizer) if settings.classifies else None
    texts = text_rows(train, validation, settings.batch_size) if settings.embeds else None
    embedder = Embedder.of(paths.tokenizer) if texts else None
    threshold = settings.threshold if settings.several else None
    head = Head(tuple(labelled[0].classes), tokenizer.pad_token_id, threshold) if labelled else embedder
    model = load(base, settings, settings, head)
    sharding.check_base("train", settings, model, tokenizer)
    grown = False if embedder else grow(model, tokenizer)
    if scratch is None:
        identity = {
            "settings": settings.model_dump(mode="json"),
            "base": record["sha256"],
            "rows": [sha256(paths.tokens(split)) for split in ("train", "validation")],
            "start": start.hashes("train", settings.start, paths) if settings.start else None,
            **({"embedder": asdict(embedder)} if embedder else {}),
        }
        with distributed.first():
            scratch = checkpoints.folder(paths.scratch("train"), identity, Path(__file__).parent)
        distributed.check_shared("train", scratch, settings.launch)
    settings = resolved("train", settings, len(Packs(train)))
    if settings.start:
        model = start.load("train", settings, settings.start, model, paths, grown)
    else:
        task = "SEQ_CLS" if labelled else "FEATURE_EXTRACTION" if embedder else "CAUSAL_LM"
        model = attach("train", settings, model, train, scratch, grown, task=task)
    asked = Asked("train", settings.samples, validation, tokenizer, paths.tokenizer, model, every=settings.eval_steps)
    passes = usage.passes_file(paths, "train")
    if labelled:
        return classifier.fit(model, tokenizer, *labelled, settings, scratch, passes), scratch, asked
    if texts and embedder:
        return embedding.fit(model, tokenizer, embedder, *texts, settings, scratch, passes), scratch, asked
    evaluated = validation if len(validation) else None
    result = fit("train", model, tokenizer, train, settings, scratch, validation=evaluated, asked=asked, passes=passes)
    return result, scratch, asked
