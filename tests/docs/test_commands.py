"""Every command that the documentation shows is accepted by the program."""

import re
import shlex
from pathlib import Path

import pytest

from asap.cli.app import COMMANDS, find_command, parse
from asap.core.errors import AsapError
from tests.docs.cli_page import COLUMNS, PAGE, cli_page
from tests.docs.pages import PAGES, ROOT, commands, name, shell, spans


def accepted(words: list[str]) -> bool:
    """Whether the program reads ``words``, without running anything."""
    try:
        parse(words)
    except (SystemExit, AsapError):
        return False
    return True


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration files are named from the root of the repository."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_is_accepted(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        assert accepted(words), f"{name(page)}: asap {shlex.join(words)}"


def command_lines(text: str) -> int:
    """Lines in fenced blocks that start ``asap``, counted apart from ``pages.commands``; forms are marked ``text``."""
    count, language = 0, None
    for line in text.splitlines():
        if line.strip().startswith("```"):
            language = line.strip()[3:].split(" ")[0] if language is None else None
        elif language is not None and language not in ("text", "python"):
            count += line.strip().startswith("asap ") or "-m asap.cli " in line
    return count


def test_no_command_is_overlooked() -> None:
    texts = {name(page): page.read_text(encoding="utf-8") for page in PAGES}
    assert {page: len(commands(text)) for page, text in texts.items()} == {
        page: command_lines(text) for page, text in texts.items()
    }
    assert sum(map(command_lines, texts.values())) > 60
    assert command_lines(texts["README.md"]) >= 5


@pytest.mark.parametrize("line", ["asap pairs stat runs/pairs", "asap train --pair runs/pairs --out o --sstep 3"])
def test_a_wrong_command_is_refused(line: str) -> None:
    (words,) = commands(f"```\n{line}   # a comment\n```\n")
    assert not accepted(words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_in_the_text_exists(page: Path) -> None:
    found = [span for span in spans(page.read_text(encoding="utf-8")) if re.match(r"asap [a-z]", span)]
    for span in found:
        command, _ = find_command(span.split()[1:])
        assert span.startswith(f"asap {command}")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    lines = [line for line in [*shell(text), *spans(text)] if line.startswith("make ")]
    assert {line.split()[1] for line in lines} <= targets


def test_the_page_of_commands_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", COLUMNS)
    text = PAGE.read_text(encoding="utf-8")
    assert text == cli_page(), "run `python tests/docs/cli_page.py`"
    assert text.count("## asap ") == len(COMMANDS)


def unknown_settings(text: str, known: set[str]) -> list[str]:
    """Flags (``--name``) and YAML keys (``name: value``) in the code spans of a page that no command has."""
    found = [flag for span in spans(text) for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+(?![\w_])", span)]
    found += [f"--{key.replace('_', '-')}" for span in spans(text) for key in re.findall(r"^([a-z_]+): [^\s{]", span)]
    return sorted(set(found) - known)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_flags_and_keys_in_the_text_exist(page: Path) -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", PAGE.read_text(encoding="utf-8")))
    assert len(known) > 100
    assert unknown_settings(page.read_text(encoding="utf-8"), known) == []


def test_an_unknown_flag_or_key_is_noticed() -> None:
    text = "Use `--pair DIR` and `gradient_mode: two_pass`, not `--pairs DIR`."
    assert unknown_settings(text, {"--pairs"}) == ["--gradient-mode", "--pair"]
