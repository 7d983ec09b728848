"""What is found in a text: precision and recall on labelled texts, and what stands for a value."""

import random
import string

import pytest

from tasks.clean.privacy import KINDS, Finding, Kind, find, redacted
from tasks.clean.privacy.search import suspects
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


def test_a_look_at_many_texts_passes_over_those_only_that_have_nothing() -> None:
    texts = [labelled.text for part in PARTS for labelled in load(part)]
    private = [bool(find(text)) for text in texts]
    for change in (str, str.upper, lambda text: f"{text} \ud83d", lambda text: f"é{text}\n\n"):
        changed = [change(text) for text in texts]
        flags = suspects(changed)
        assert not [text for text, flag in zip(changed, flags, strict=True) if not flag and find(text)]
        assert 0.1 < sum(flags) / len(flags) < 0.9, "else it is of no use"
    assert all(suspects([f"{text} İ" for text in texts])), "small letters are more than the text has"
    assert all(suspects(["a\0b", "c"])) and suspects([]) == [] and suspects(["", "a@b", ""]) == [False, True, False]
    assert sum(private) > 100


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


SECRET: tuple[Kind, ...] = ("secret",)

CODES = (
    ("AKIA", 16, string.ascii_uppercase + string.digits),
    ("ASIA", 16, string.ascii_uppercase + string.digits),
    ("ABIA7", 15, string.ascii_uppercase + string.digits),
    ("ACCA7", 15, string.ascii_uppercase + string.digits),
    ("ghp_A1_", 33, values.LETTERS),
    ("ghs_", 36, values.LETTERS),
    ("github_pat_A1", 80, values.LETTERS + "_"),
    ("glpat-", 27, values.URL64),
    ("glagent-", 50, values.URL64),
    ("sk-", 32, values.HEX),
    ("sk-svcacct-A1", 120, values.URL64 + "a"),
    ("sk-ant-admin01-A1a", 93, values.LETTERS),
    ("sk-or-v1-", 64, values.HEX),
    ("hf_", 34, values.LETTERS),
    ("api_org_", 34, string.ascii_letters),
    ("xai-", 80, values.LETTERS),
    ("pplx-", 48, values.LETTERS),
    ("AIza", 35, values.LETTERS),
    ("xoxc-", 40, values.DIGITS),
    ("xoxe.xoxp-1-", 60, values.LETTERS),
    ("xwfp-", 60, values.LETTERS),
    ("sk_live_", 99, values.LETTERS),
    ("rk_test_", 24, values.LETTERS),
    ("whsec_", 32, values.LETTERS),
    ("glsa_" + "a1B2" * 8 + "_", 8, "0123456789ABCDEF"),
)
"""How a key begins, as its issuer documents it, and how many letters follow."""


@pytest.mark.parametrize(("begin", "length", "letters"), CODES, ids=[begin for begin, _, _ in CODES])
@pytest.mark.parametrize("around", ["use {} now", '{{"k": "{}"}}', "a\\n{}\\n", "https://x.de/?a=b%3D{}", "({})."])
def test_every_letter_that_a_key_may_have_is_taken(begin: str, length: int, letters: str, around: str) -> None:
    source = random.Random(begin + around)
    missed = []
    for _ in range(20):
        key = begin + "".join(source.choices(letters, k=length - 1)) + source.choice(letters.strip("-_"))
        text = around.format(key)
        if not any(text[one.start : one.end].endswith(key[-12:]) for one in find(text, SECRET)):
            missed.append(key)
    assert not missed


def test_tokens_that_are_signed_or_encrypted_and_keys_with_a_header_go_whole() -> None:
    source = random.Random(1)

    def part(length: int) -> str:
        return "".join(source.choices(values.LETTERS, k=length))

    signed = f"eyJ{part(700)}.{part(60)}.{part(43)}"
    encrypted = f"eyJ{part(40)}..{part(16)}.{part(80)}.{part(22)}"
    armoured = (
        "-----BEGIN PGP " "PRIVATE KEY BLOCK-----\nVersion: GnuPG v2.0.22 (GNU/Linux)\nComment: ann (work)\n\n"
        + "\n".join(part(64) for _ in range(8))
        + "\n-----END PGP " "PRIVATE KEY BLOCK-----"
    )  # fmt: skip
    for key in (signed, encrypted, armoured):
        text = f"before {key} behind"
        assert redacted(text, find(text, SECRET)) == "before [secret] behind"


@pytest.mark.parametrize(
    "text",
    [
        "ACCATGGATTACAGATTACA and AKIA is a place",
        "AK" "IAIOSFODNN7EXAMPLE",
        "gh" "p_your_token_goes_here_and_nothing_else_at_all",
        "sk-learn-contrib-imbalanced-learning-tools-and-more",
        "the eyJ of eyJhbGciOiJIUzI1NiJ9",
        "-----BEGIN PRIVATE " "KEY----- goes on top, -----END PRIVATE " "KEY----- below",
    ],
)  # fmt: skip
def test_words_and_examples_are_no_keys(text: str) -> None:
    assert find(text, SECRET) == []


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
