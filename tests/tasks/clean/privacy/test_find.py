"""What is found in a text: precision and recall on labelled texts, and what stands for a value."""

import random

import pytest

from tasks.clean.privacy import KINDS, Finding, Kind, find, redacted
from tests.tasks.clean.privacy import values
from tests.tasks.clean.privacy.labelled import PARTS, load, measure

FLOORS = {"secret": 0.95, "iban": 0.95, "card": 0.95, "email": 0.9, "phone": 0.9, "ip": 0.95}
"""Recall that both parts reach."""


def spans(text: str) -> list[tuple[int, int, str]]:
    return [(finding.start, finding.end, finding.kind) for finding in find(text)]


@pytest.mark.parametrize("part", PARTS)
def test_what_is_private_is_found_and_little_else(part: str) -> None:
    scores = measure(load(part), spans)
    assert set(scores) == set(KINDS)
    for kind, score in scores.items():
        assert score.labels >= 12, f"{kind}: too few to measure by"
        assert score.recall >= FLOORS[kind], kind
        assert score.precision >= 0.97, kind


@pytest.mark.parametrize("part", PARTS)
def test_at_least_as_many_texts_are_harmless_as_are_not(part: str) -> None:
    texts = load(part)
    assert len(texts) >= 150
    assert sum(not labelled.spans for labelled in texts) >= sum(bool(labelled.spans) for labelled in texts)


def test_only_the_kinds_that_are_asked_for_are_found() -> None:
    text = "anna@firma.de at 84.23.117.9"
    only: tuple[Kind, ...] = ("ip",)
    assert find(text, only) == [Finding(17, 28, "ip")]
    assert find(text, ()) == []


def test_findings_are_in_order_and_do_not_overlap() -> None:
    address = "https://ann:Zq83nnWp@files.firma.de/?to=bob@firma.de"
    findings = find(address)
    assert [(address[one.start : one.end], one.kind) for one in findings] == [
        ("Zq83nnWp", "secret"),
        ("bob@firma.de", "email"),
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ask anna@firma.de", "ask [email]"),
        ("ask anna@firma.de, yes: Anna@Firma.de", "ask [email], yes: [email]"),
        ("anna@firma.de or bob@firma.de or anna@firma.de", "[email 1] or [email 2] or [email 1]"),
        ("call +44 20 7946 0321 or +442079460321", "call [phone] or [phone]"),
        ("nothing here", "nothing here"),
    ],
)
def test_the_same_value_has_the_same_placeholder(text: str, wanted: str) -> None:
    assert redacted(text, find(text)) == wanted


def test_a_private_key_goes_and_what_follows_stays() -> None:
    key = values.random_value("pem", random.Random(0))
    text = f"Here:\n{key}\nThat was all, thanks."
    assert redacted(text, find(text)) == "Here:\n[secret]\nThat was all, thanks."


@pytest.mark.parametrize("regions", [(), ("DE",)])
def test_a_number_without_a_plus_needs_its_country(regions: tuple[str, ...]) -> None:
    kinds: tuple[Kind, ...] = ("phone",)
    assert bool(find("Tel. 030 23125 016", kinds, regions)) is bool(regions)
    assert find("Tel. +49 30 23125 016", kinds, regions) == [Finding(5, 21, "phone")]


def test_every_number_of_a_list_is_found() -> None:
    text = "415-776-2301 " * 40
    assert [text[one.start : one.end] for one in find(text)] == ["415-776-2301"] * 40


@pytest.mark.parametrize(
    "text",
    ["3600000 + 62426244000 = 62429844000", "821091117+4908374100427", "2019-03-08 17:30 and 2019-03-12", "1.2.3.4"],
)
def test_sums_dates_and_made_up_addresses_are_nobodys(text: str) -> None:
    assert find(text) == []
