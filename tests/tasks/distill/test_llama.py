"""llama.cpp's server as the teacher: the likelihoods of each token are those that transformers computes."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tasks.core.errors import SettingsError
from tasks.core.paths import Paths
from tasks.distill import stage as distill
from tasks.distill.price import price
from tasks.models.gguf.convert import write_gguf
from tasks.models.gguf.library import F32
from tasks.training.rows import load
from tests.tasks import tiny
from tests.tasks.distill.test_distill import settings, written

TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Paths, str]]:
    """Rows with characters of several tokens, a model in data/guides/teacher, and a server of it."""
    import xllamacpp

    paths, coder = Paths(tmp_path_factory.mktemp("llama")), tiny.tokenizer()
    coder.save_pretrained(paths.tokenizer)
    written(paths, [TURN.format("stop web", "docker stop web"), TURN.format("café?", "é 日☕")], coder)
    folder = tiny.model(paths.guides / "teacher", vocabulary=len(coder))
    coder.save_pretrained(folder)
    write_gguf(folder, paths.guides / "teacher.gguf", "f32")
    params = xllamacpp.CommonParams()
    params.model.path, params.port, params.warmup, params.verbosity = str(paths.guides / "teacher.gguf"), 0, False, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type(F32)
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)
    yield paths, f"{server.listening_address}/v1"
    del server


def test_each_token_has_what_the_model_itself_computes(llama: tuple[Paths, str]) -> None:
    paths, url = llama
    chosen = settings(url, form="next_token")
    distill.validate(chosen, paths)
    distill.run(chosen, paths, "train")
    model, rows = tiny.loaded(paths.guides / "teacher"), load(paths.distilled("train") / "rows.arrow")
    for row in rows:
        with torch.no_grad():
            logprobs = model(torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
        places = [place for place, label in enumerate(row["labels"]) if label != -100]
        top_ids, top_logprobs = (np.array(row[name]).reshape(len(places), 3) for name in ("top_ids", "top_logprobs"))
        for place, ids, values in zip(places, top_ids.tolist(), top_logprobs.tolist(), strict=True):
            known = {token: value for token, value in zip(ids, values, strict=True) if value > -np.inf}
            assert {*known} == {*logprobs[place - 1].topk(2).indices.tolist(), row["input_ids"][place]}
            for token, value in known.items():
                assert value == pytest.approx(logprobs[place - 1, token].item(), abs=1e-4)


def test_its_price_is_that_of_a_question_for_each_token(llama: tuple[Paths, str]) -> None:
    paths, url = llama
    places = [
        place for row in load(paths.tokens("train")) for place, label in enumerate(row["labels"]) if label != -100
    ]
    teacher = settings(url).teacher
    assert teacher is not None
    priced = price(teacher, paths.tokens("train"), "next_token")
    assert priced.tokens == sum(places) + len(places)
    assert priced.cost == pytest.approx((sum(places) + 50 * len(places)) / 1e6)
    with pytest.raises(SettingsError, match=f"{priced.tokens:,} tokens; nothing was asked"):
        distill.run(settings(url, {"max_tokens": priced.tokens - 1}, form="next_token"), paths, "train")


def test_a_check_names_the_form_of_it(llama: tuple[Paths, str]) -> None:
    paths, url = llama
    with pytest.raises(SettingsError, match=r"in the form next_token; set distill\.form to next_token"):
        distill.validate(settings(url), paths)
