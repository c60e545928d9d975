"""What the pages of the documentation hold: their files, shell commands, code spans and prose."""

import re
import shlex
from pathlib import Path
from typing import Final

__all__ = ["PAGES", "ROOT", "commands", "name", "prose", "shell", "spans"]

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    *(ROOT / page for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
FENCE: Final = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SPAN: Final = re.compile(r"`([^`\n]+)`")
LAUNCH: Final = re.compile(r"^(\.venv/bin/)?asap |-m asap\.cli ")
SHELL: Final = ("", "bash", "sh")
"""Languages of a fenced block that holds shell commands; output and forms are written as ``text``."""


def name(page: Path) -> str:
    """The path of ``page`` in the repository, for test ids."""
    return page.relative_to(ROOT).as_posix()


def shell(text: str) -> list[str]:
    """The lines of all shell blocks of a page, continued lines joined."""
    blocks = [body for _, language, body in FENCE.findall(text) if language in SHELL]
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def commands(text: str) -> list[list[str]]:
    """The arguments of every ``asap`` command in the shell blocks of a page, however it is launched."""
    found = []
    for line in shell(text):
        if not LAUNCH.search(line):
            continue
        words = shlex.split(line, comments=True)
        start = words.index("asap.cli") if "asap.cli" in words else 0
        found.append(words[start + 1 :])
    return found


def spans(text: str) -> list[str]:
    """The code spans of a page, without those in fenced blocks."""
    return SPAN.findall(FENCE.sub("", text))


def prose(text: str) -> str:
    """A page without code, addresses of links and HTML comments."""
    text = re.sub(r"<!--.*?-->", "", FENCE.sub("", text), flags=re.DOTALL)
    return re.sub(r"\]\([^)]*\)", "]", SPAN.sub("", text))
