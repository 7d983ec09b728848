"""What mkdocs.yml needs of Python: pages of the site that lie outside docs/, and links to them.

The texts stay where GitHub and readers of the repository look for them; each is a page under another address here.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

PAGES = {
    "README.md": "project/overview.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "infra/README.md": "project/infrastructure.md",
}
"""File of the repository -> its page, below docs/."""

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
"""The target of a link or picture that lies in the repository, without its fragment."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    from mkdocs.structure.files import File

    root = Path(config.config_file_path).parent
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(root / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    address = page.file.src_uri
    sources = {there: source for source, there in PAGES.items()}
    here = posixpath.dirname(sources.get(address, f"docs/{address}"))

    def there(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, match[1]))
        new = PAGES.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(new, posixpath.dirname(address) or ".")

    return LINK.sub(there, markdown)
