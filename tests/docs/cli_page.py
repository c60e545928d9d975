"""Write the page of all commands: ``python tests/docs/cli_page.py``.

The page is the ``--help`` of each command, in the order of ``asap --help``.
"""

import contextlib
import io
import os
from pathlib import Path
from typing import Final

from asap.cli.app import COMMANDS, main

__all__ = ["COLUMNS", "PAGE", "cli_page"]

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
COLUMNS: Final = "100"


def cli_page() -> str:
    """The text of the page."""
    parts = ["# Commands", "", "Every command prints this text with `--help`.", "", *_block([])]
    for command in COMMANDS:
        parts += ["", f"## asap {command}", "", *_block(command.split())]
    return "\n".join(parts) + "\n"


def _block(words: list[str]) -> list[str]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = main([*words, "--help"])
    if code:
        raise SystemExit(f"asap {' '.join(words)} --help ends with {code}")
    return ["```text", *(line.rstrip() for line in output.getvalue().rstrip().splitlines()), "```"]


if __name__ == "__main__":
    os.environ["COLUMNS"] = COLUMNS
    PAGE.write_text(cli_page(), encoding="utf-8")
