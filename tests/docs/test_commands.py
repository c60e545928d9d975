"""The commands that the documents show are commands that there are."""

import re
import shlex
from pathlib import Path

import pytest

from asap.cli.app import parse
from asap.core.errors import AsapError

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
PLACEHOLDER = re.compile(r"\.\.\.|\[|\||<")
"""Lines that show a form and not a command."""


def commands(page: Path) -> list[list[str]]:
    """The words of every line that begins with ``asap`` in the blocks of a page."""
    blocks = page.read_text(encoding="utf-8").split("```")[1::2]
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    shown = [line for line in lines if line.startswith("asap ") and not PLACEHOLDER.search(line.split(" #")[0])]
    return [shlex.split(line, comments=True) for line in shown]


def test_there_are_commands_to_check() -> None:
    found = {page.name: commands(page) for page in PAGES}
    assert len(found["README.md"]) >= 20
    assert {words[1] for rows in found.values() for words in rows} >= {"pairs", "train", "bench", "judge", "generate"}
    bench = [words for words in found["README.md"] if words[1] == "bench"]
    assert [words[2] for words in bench] == ["run", "run", "run", "compare"]
    runs = {words[words.index("--out") + 1] for words in bench[:3]}
    assert runs == set(bench[3][3:6]), "every run of the README is compared"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_can_be_read(page: Path) -> None:
    for words in commands(page):
        try:
            parse(words[1:])
        except (SystemExit, AsapError) as ending:
            pytest.fail(f"{page.name}: {shlex.join(words)} ends with {ending}")
