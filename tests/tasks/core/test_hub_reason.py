"""Why the hub gives nothing, in a few words; errors are those that its library raises."""

import pytest
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.utils._http import hf_raise_for_status

from tasks.core.errors import hub_faults, hub_reason

CLOSED = "http://127.0.0.1:1"
"""Nobody listens there."""


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (404, "RepoNotFound", "the hub has no such repository, or you may not read it"),
        (403, "GatedRepo", "it is gated: request access on its page, and set HF_TOKEN"),
        (404, "RevisionNotFound", "the hub has no such revision"),
        (503, "", "the hub answers Server error '503 Service Unavailable' for url 'https://hub.test/a/b'"),
    ],
)
def test_what_the_hub_answers(status: int, code: str, sentence: str) -> None:
    import httpx2

    request = httpx2.Request("GET", "https://hub.test/a/b")
    with pytest.raises(hub_faults()) as raised:
        hf_raise_for_status(httpx2.Response(status, headers={"X-Error-Code": code} if code else {}, request=request))
    assert hub_reason(raised.value) == sentence


def test_no_network_is_said_in_one_line_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for ask in (
        lambda: HfApi(endpoint=CLOSED).model_info("a/b"),  # its errors are not the system's
        lambda: snapshot_download("a/b", endpoint=CLOSED),
    ):
        with pytest.raises(hub_faults()) as raised:
            ask()
        assert hub_reason(raised.value) == "the hub cannot be reached: [Errno 111] Connection refused"


def test_the_switch_that_is_on_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(hub_faults()) as raised:
        snapshot_download("a/b")
    assert hub_reason(raised.value) == "HF_HUB_OFFLINE is set"
