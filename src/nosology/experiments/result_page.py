"""One page of results that several commands write, each its own part."""

from __future__ import annotations

import re
from pathlib import Path

from nosology.errors import ConfigError
from nosology.whole_files import writing_file

_PART = re.compile(r"<!-- part (?P<name>[\w-]+) -->\n(?P<text>.*?)<!-- end (?P=name) -->\n", re.DOTALL)


def parts_of(page: str) -> dict[str, str]:
    """The parts of a page by name, in their order; what stands outside of all is no part."""
    return {match["name"]: match["text"] for match in _PART.finditer(page)}


def write_part(page: Path, name: str, text: str) -> None:
    """Write one part of a page and leave the others as they are; a page that is not there is made.

    Args:
        page: a Markdown file. What stands outside of its parts is lost: nobody edits it by hand.
        name: of the part: letters, digits, ``-`` and ``_``.
        text: Markdown.

    Raises:
        ConfigError: the page cannot be read or written.
    """
    try:
        parts = parts_of(page.read_text(encoding="utf-8")) if page.exists() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{page}: cannot be read as a page of results ({type(error).__name__})") from error
    parts[name] = text.strip("\n") + "\n"
    with writing_file(page) as path:
        path.write_text(
            "\n".join(f"<!-- part {key} -->\n{part}<!-- end {key} -->\n" for key, part in parts.items()),
            encoding="utf-8",
        )
