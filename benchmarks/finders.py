"""Libraries that find private values, each as it comes, behind one call. Runs alone, in the environment of any of them.

python -m benchmarks.finders NAME TEXTS     TEXTS: JSON, name -> list of texts; prints the findings of each as JSON
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Span = tuple[int, int, str]
Find = Callable[[str], Iterable[Span]]


def temper() -> Find:
    """What `clean` does."""
    from tasks.clean.privacy import find

    return lambda text: [(finding.start, finding.end, finding.kind) for finding in find(text)]


def detect_secrets() -> Find:
    """detect-secrets on a file for each text, as it is meant to be used, with every plugin that is on by default."""
    from tempfile import NamedTemporaryFile

    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    settings = default_settings()
    settings.__enter__()

    def find(text: str, kept: object = settings) -> Iterator[Span]:
        with NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            secrets = SecretsCollection()
            secrets.scan_file(file.name)
        for _, secret in secrets:
            start = text.find(secret.secret_value or "")
            yield start, start + len(secret.secret_value or ""), "secret"

    return find


def presidio() -> Find:
    """The recognisers of presidio that need no language model."""
    import tldextract.tldextract
    from presidio_analyzer import predefined_recognizers as known

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())  # else it asks the internet
    recognisers = {
        "card": known.CreditCardRecognizer(),
        "email": known.EmailRecognizer(),
        "iban": known.IbanRecognizer(),
        "ip": known.IpRecognizer(),
        "phone": known.PhoneRecognizer(),
    }

    def find(text: str) -> Iterator[Span]:
        for kind, one in recognisers.items():
            for finding in one.analyze(text, entities=one.supported_entities, nlp_artifacts=None):
                yield finding.start, finding.end, kind

    return find


def datafog() -> Find:
    """The patterns of datafog."""
    from datafog import scan

    kinds = {"EMAIL": "email", "PHONE": "phone", "CREDIT_CARD": "card", "IP_ADDRESS": "ip"}
    return lambda text: [(one.start, one.end, kinds[one.type]) for one in scan(text).entities if one.type in kinds]


def scrubadub() -> Find:
    """The detectors of scrubadub that are on by default."""
    from scrubadub import Scrubber

    kinds = {"email": "email", "phone": "phone", "credit_card": "card", "credential": "secret"}
    scrubber = Scrubber()
    return lambda text: [(one.beg, one.end, kinds[one.type]) for one in scrubber.iter_filth(text) if one.type in kinds]


FINDERS: dict[str, tuple[Callable[[], Find], tuple[str, ...]]] = {
    "temper": (temper, ("secret", "iban", "card", "email", "phone", "ip")),
    "detect-secrets": (detect_secrets, ("secret",)),
    "presidio": (presidio, ("iban", "card", "email", "phone", "ip")),
    "datafog": (datafog, ("card", "email", "phone", "ip")),
    "scrubadub": (scrubadub, ("secret", "card", "email", "phone")),
}
"""Library -> its call, and the kinds that it knows."""


def main(name: str, path: Path) -> None:
    """Print what `name` finds in the texts, and the processor seconds of those called `ordinary` (best of three)."""
    texts: dict[str, list[str]] = json.loads(path.read_text())
    find = FINDERS[name][0]()
    answer: dict[str, Any] = {part: [list(find(text)) for text in in_part] for part, in_part in texts.items()}
    rounds = []
    for _ in range(3):
        start = time.process_time()
        for text in texts["ordinary"]:
            list(find(text))
        rounds.append(time.process_time() - start)
    print(json.dumps({**answer, "seconds": min(rounds)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
