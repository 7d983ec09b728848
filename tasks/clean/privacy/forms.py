"""Forms of keys that their issuers made easy to tell: the letters that each begins with, and what follows.

After the forms that issuers document and public scanners look for. detect-secrets 1.5 was tried and left: with every
plugin it finds 0.59 of the secrets in the held-out texts at a precision of 0.74 (`python -m benchmarks privacy`), and
reads files only. Nothing here is ever sent anywhere to be verified.
"""

import re
from collections.abc import Iterator

_FORMS: dict[tuple[str, ...], str] = {
    # code hosts and packages
    ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"): (  # with `_` only where there are digits and capitals: else it is words
        r"gh[pousr]_(?:[A-Za-z0-9]{36,255}|(?=\w{0,35}[0-9])(?=\w{0,35}[A-Z])[A-Za-z0-9_]{36,255})"
    ),
    ("github_pat_",): r"github_pat_(?=\w{0,81}[0-9])(?=\w{0,81}[A-Z])[A-Za-z0-9_]{82,255}",
    ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glft-", "glsoat-", "glimt-", "glagent-", "gloas-"): (
        r"gl(?:pat|dt|rt|ptt|cbt|ft|soat|imt|agent|oas)-[\w-]{20,}(?:\.[0-9a-z]{2}\.[0-9a-z]{7,9})?"
    ),
    ("npm_",): r"npm_[A-Za-z0-9]{36}",
    ("pypi-AgE",): r"pypi-AgE[\w-]{50,}",
    ("ATATT3",): r"ATATT3[\w=-]{100,}",
    ("lin_api_",): r"lin_api_[A-Za-z0-9]{40}",
    # models
    ("sk-",): r"sk-(?=[\w-]{0,99}\d)(?=[\w-]{0,99}[A-Z])(?=[\w-]{0,99}[a-z])[\w-]{32,300}"
    r"|sk-(?:or-v1-[0-9a-f]{64}|[0-9a-f]{32})",
    ("hf_", "api_org_"): r"(?:hf|api_org)_[A-Za-z0-9]{34,}",
    ("gsk_",): r"gsk_[A-Za-z0-9]{52}",
    ("r8_",): r"r8_[A-Za-z0-9]{37}",
    ("xai-",): r"xai-[A-Za-z0-9]{80}",
    ("pplx-",): r"pplx-[A-Za-z0-9]{48}",
    ("nvapi-",): r"nvapi-[\w-]{60,70}",
    ("lsv2_",): r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
    # clouds
    # a key of AWS is AKIA or ASIA and 16 of A-Z, 0-9 (its documentation allows any); the two others are rarer, and
    # their first letters begin texts about genes too, which have no digits
    ("AKIA", "ASIA", "ABIA", "ACCA"): r"A(?:[KS]IA|(?:BIA|CCA)(?=[A-Z]{0,15}[0-9]))[A-Z0-9]{16}",
    ("AIza",): r"AIza[\w-]{35}",
    ("GOCSPX-",): r"GOCSPX-[\w-]{28}",
    ("ya29.",): r"ya29\.[\w-]{20,}",
    ("AccountKey=",): r"(?<=AccountKey=)[A-Za-z0-9+/]{86}==",
    ("dop_v1_", "doo_v1_", "dor_v1_"): r"do[opr]_v1_[0-9a-f]{64}",
    ("dapi",): r"dapi[0-9a-f]{32}",
    ("hvs.", "hvb.", "hvr."): r"hv[sbr]\.[\w-]{24,}",
    ("dckr_pat_", "dckr_oat_"): r"dckr_[po]at_[\w-]{27,}",
    ("SWMTKN-1-",): r"SWMTKN-1-[0-9a-z]{40,}-[0-9a-z]{20,}",
    # messages and payment
    ("xox", "xapp-", "xwfp-"): r"(?:xox[abcdeoprs]|xapp|xwfp)-[A-Za-z0-9%-]{20,}",
    ("hooks.slack.com/",): r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[\w/]{30,}",
    ("/api/webhooks/",): r"https://discord(?:app)?\.com/api/webhooks/\d+/[\w-]{60,}",
    (":AA",): r"\d{8,10}:AA[\w-]{33}",
    ("SG.",): r"SG\.[\w-]{22}\.[\w-]{43}",
    ("SK",): r"SK[0-9a-f]{32}",
    ("key-",): r"key-[0-9a-f]{32}",
    ("-us",): r"[0-9a-f]{32}-us\d{1,2}",
    ("sk_live_", "rk_live_", "sk_test_", "rk_test_"): r"[rs]k_(?:live|test)_[A-Za-z0-9]{24,}",
    ("whsec_",): r"whsec_[A-Za-z0-9+/]{32,}=*",
    ("sq0",): r"sq0(?:csp|atp)-[\w-]{22,43}",
    ("shpat_", "shpca_", "shppa_", "shpss_"): r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    ("NRAK-",): r"NRAK-[A-Z0-9]{27}",
    ("glsa_",): r"glsa_[A-Za-z0-9]{32}_[0-9A-Fa-f]{8}",
    # formats
    # JSON Web Token (RFC 7519), signed in three parts (RFC 7515) or encrypted in five (RFC 7516)
    ("eyJ", "eyA", "ewog", "ew0K"): (
        r"e(?:y[JA]|w[o0][gK])[\w-]{10,4000}"
        r"\.(?:[\w-]*\.[\w-]{10,}\.[\w-]{10,}\.[\w-]{16,}|[\w-]{10,}\.[\w-]{20,})"
    ),
    ("AGE-SECRET-KEY-1",): r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    ("PRIVATE KEY",): (  # PEM (RFC 7468), also with line ends written as \n
        r"-----BEGIN (?:[A-Z0-9]{2,9} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:(?:\\[nr]|\s){1,6}(?:Version|Comment|Hash|Charset|MessageID): [^\n\\]{0,200}){0,6}(?:"
        r"(?:[A-Za-z0-9+/=\s:,.\\]|-(?!----)){40,20000}-----END (?:[A-Z0-9]{2,9} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"|(?:(?:\\n|\s){0,4}[A-Za-z0-9+/=]{40,80}){1,200})"
    ),
}
"""Letters that a text must have, and the pattern that is then looked for; a key never continues a word."""

_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-F]{2}))"
"""Where a key may begin: not within a word, but behind the end of a line as JSON writes it, or a letter of an address
that is written as its number."""

_COMPILED = [(anchors, re.compile(rf"{_BEGIN}(?:{pattern})(?![A-Za-z0-9])")) for anchors, pattern in _FORMS.items()]


def known(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every key whose form is known. A text without one costs a search for each anchor."""
    for anchors, pattern in _COMPILED:
        for anchor in anchors:
            if anchor in text:
                yield from (match.span() for match in pattern.finditer(text))
                break
