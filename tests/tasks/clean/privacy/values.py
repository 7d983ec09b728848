"""Keys, cards, account numbers and hashes in their real forms, made from a seed: none of them is anybody's."""

import random
import re
import string

DIGITS = string.digits
HEX = "0123456789abcdef"
LETTERS = string.ascii_letters + DIGITS
BASE64 = LETTERS + "+/"
URL64 = LETTERS + "-_"
UPPER32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

KEYS = {
    "github": ("gh" "p_", (36, LETTERS)),
    "github_fine": ("github" "_pat_", (22, LETTERS), "_", (59, LETTERS)),
    "gitlab": ("gl" "pat-", (20, LETTERS)),
    "aws": ("AK" "IA", (16, UPPER32)),
    "awssecret": ((40, BASE64),),
    "openai": ("s" "k-", (20, LETTERS), "T3Blbk" "FJ", (20, LETTERS)),
    "openai_project": ("s" "k-proj-", (48, URL64), "T3Blbk" "FJ", (48, LETTERS)),
    "anthropic": ("s" "k-ant-api03-", (93, URL64), "AA"),
    "hf": ("h" "f_", (34, string.ascii_letters)),
    "google": ("AI" "za", (35, URL64)),
    "google_oauth": ("GOC" "SPX-", (28, LETTERS)),
    "slack": ("xo" "xb-", (12, DIGITS), "-", (13, DIGITS), "-", (24, LETTERS)),
    "slack_hook": ("https://hooks.", "slack.com/services/T", (8, UPPER32), "/B", (10, UPPER32), "/", (24, LETTERS)),
    "stripe": ("sk" "_live_", (24, LETTERS)),
    "npm": ("np" "m_", (36, LETTERS)),
    "pypi": ("py" "pi-AgEIcHlwaS5vcmc", (120, URL64)),
    "docker_pat": ("dckr" "_pat_", (27, URL64)),
    "azure": ((86, BASE64), "=="),
    "twilio": ("S" "K", (32, HEX)),
    "telegram": ((10, "123456789"), ":AA", (33, LETTERS)),
    "digitalocean": ("dop" "_v1_", (64, HEX)),
    "sendgrid": ("S" "G.", (22, LETTERS), ".", (43, LETTERS)),
    "vault": ("hv" "s.", (24, LETTERS)),
    "swarm": ("SWM" "TKN-1-", (50, HEX), "-", (25, HEX)),
    "jwt": ("ey" "JhbGciOiJIUzI1NiJ9.eyJ", (60, LETTERS), ".", (43, URL64)),
    "pem": ("-----BEGIN RSA " "PRIVATE KEY-----\nMIIE", (300, BASE64), "\n-----END RSA " "PRIVATE KEY-----"),
    "pem_openssh": ("-----BEGIN OPENSSH " "PRIVATE KEY-----\nb3Bl", (200, BASE64), "\n-----END OPENSSH "
                    "PRIVATE KEY-----"),
    "django": ((20, LETTERS), "$", (20, LETTERS), "^", (8, LETTERS)),
    "password": ((5, LETTERS), "!", (3, DIGITS), "x", (4, LETTERS)),
    "password_plain": ((6, LETTERS), "7q", (6, LETTERS)),
    "token40": ((20, LETTERS), "4x", (18, LETTERS)),
    "hex12": ((10, HEX), "7f"),
    "hex32": ((30, HEX), "a7"),
    "hex40": ((38, HEX), "b4"),
    "hex64": ((62, HEX), "9c"),
    "b64_40": ((40, BASE64),),
    "b64_86": ((86, BASE64),),
    "digits16": ("9", (15, DIGITS)),
    "uuid": ((8, HEX), "-", (4, HEX), "-4", (3, HEX), "-a", (3, HEX), "-", (12, HEX)),
}  # fmt: skip
"""Form -> texts that stand for themselves, and (length, letters) that are drawn."""

CARDS = {
    "visa": ("4", 16, (4, 4, 4, 4)),
    "mastercard": ("53", 16, (4, 4, 4, 4)),
    "mastercard2": ("2345", 16, (4, 4, 4, 4)),
    "amex": ("37", 15, (4, 6, 5)),
    "discover": ("6011", 16, (4, 4, 4, 4)),
    "jcb": ("3530", 16, (4, 4, 4, 4)),
    "diners": ("3600", 14, (4, 6, 4)),
    "unionpay": ("6221", 16, (4, 4, 4, 4)),
}
"""Network -> first digits, number of digits, groups in print."""

ACCOUNTS = {
    "AT": "n16", "BE": "n12", "CH": "n17", "DE": "n18", "DK": "n14", "ES": "n20", "FI": "n14", "FR": "n23",
    "GB": "a4n14", "IE": "a4n14", "IT": "a1n22", "LU": "n16", "NL": "a4n10", "NO": "n11", "PL": "n24", "PT": "n21",
    "SE": "n20",
}  # fmt: skip
"""Country -> letters and digits of an account number after the check digits."""


def random_value(form: str, source: random.Random) -> str:
    """A value of `form`: a key of `KEYS`, a network or a country with `_spaced` or `_dashed`, or a faulty one."""
    name, _, style = form.partition("_")
    between = {"spaced": " ", "dashed": "-"}.get(style, "")
    if form in KEYS:
        return "".join(
            part if isinstance(part, str) else "".join(source.choices(part[1], k=part[0])) for part in KEYS[form]
        )
    if form == "badcard":
        card = _card("visa", source)
        return card[:-1] + str((int(card[-1]) + 5) % 10)
    if form == "badiban":
        account = _account("DE", source)
        return account[:-1] + str((int(account[-1]) + 5) % 10)
    if name in CARDS:
        groups = iter(_card(name, source))
        if not between:
            return "".join(groups)
        return between.join("".join(next(groups) for _ in range(length)) for length in CARDS[name][2])
    account = _account(name, source)
    return between.join(account[at : at + 4] for at in range(0, len(account), 4)) if between else account


def _card(network: str, source: random.Random) -> str:
    """A number with the right last digit (Luhn)."""
    first, length, _ = CARDS[network]
    digits = first + "".join(source.choices(DIGITS, k=length - len(first) - 1))
    doubled = [sum(divmod(int(digit) * (2 - at % 2), 10)) for at, digit in enumerate(reversed(digits))]
    return digits + str(-sum(doubled) % 10)


def _account(country: str, source: random.Random) -> str:
    """A number with the right check digits (ISO 7064, 97)."""
    body = ""
    for kind, length in re.findall(r"([an])(\d+)", ACCOUNTS[country]):
        body += "".join(source.choices(string.ascii_uppercase if kind == "a" else DIGITS, k=int(length)))
    number = int("".join(str(int(letter, 36)) for letter in f"{body}{country}00"))
    return f"{country}{98 - number % 97:02}{body}"
