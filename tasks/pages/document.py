"""A page as one HTML file: nothing from the network, no script but its own, light and dark, narrow and on paper.

What comes from data stands in a block of JSON and reaches the page as text only; the policy in the head lets the page
run nothing but its own script, and fetch nothing.

    text = document("Runs", "<main>...</main>", script=script_of(Path("runs.js")), data={"runs": []})
"""

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

STYLE = Path(__file__).parent / "style.css"
"""Of every page."""

ELEMENTS = Path(__file__).parent / "elements.js"
"""What scripts begin with: `data`, and functions that make elements."""


def document(title: str, body: str, *, script: str = "", data: Any = None) -> str:
    """The page around `body`, which is HTML already. `script` finds `data` in the element with the id `data`."""
    parts = [f'<!doctype html>\n<html lang="en">\n<head>\n{head(title, script)}</head>\n<body>\n{body}\n']
    if script:
        parts += [
            f'<script type="application/json" id="data">{embedded(data)}</script>\n',
            f"<script>{script}</script>\n",
        ]
    return "".join([*parts, "</body>\n</html>\n"])


def script_of(*files: Path) -> str:
    """The script of a page: what all share, then `files` in turn."""
    return "\n".join(file.read_text(encoding="utf-8") for file in (ELEMENTS, *files))


def head(title: str, script: str = "") -> str:
    """What stands in the head of a page that runs `script` and nothing else."""
    return (
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n"
    )


def embedded(value: Any) -> str:
    """JSON that cannot end the block it stands in, whatever its texts hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"; script-src 'sha256-{digest}'" if script else ""
    return f"default-src 'none'; style-src 'unsafe-inline'{allowed}"
