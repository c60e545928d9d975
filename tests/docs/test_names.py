"""Files, modules and objects that the documentation names exist, and so do the pages that the code names."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name, spans

SOURCE = ROOT / "src" / "asap"
CODE = (".py", ".yaml", ".md")
PLACEHOLDER = re.compile(r"NAME|FAMILY|KIND|METHOD|\*|<|\{|auraflow|brightness|squares")
"""Forms, and the examples of the guides in docs/guides/extend, which are no part of the program."""
TOP = ("src/", "tests/", "docs/", "configs/", "benchmarks/", ".ci/", ".github/")
ROOMS = {path.name for path in SOURCE.iterdir() if path.is_dir()}
FILE = re.compile(r"[\w./-]+\.(?:py|md|yaml|yml|json|jsonl|toml|txt|png)")
MODULE = re.compile(r"asap(?:\.(?!json\b|yaml\b|html\b)\w+)+")


def missing_file(span: str) -> str | None:
    """The path in ``span`` that should exist in the repository and does not."""
    path = span.partition("::")[0].partition("#")[0].rstrip("/")
    if PLACEHOLDER.search(path) or " " in path:
        return None
    if path.startswith(TOP):
        return None if (ROOT / path).exists() else path
    if "/" in path and FILE.fullmatch(path) and path.split("/")[0] in ROOMS:
        return None if (SOURCE / path).exists() else path
    return None


def missing_object(span: str) -> str | None:
    """The dotted name in ``span`` that is no module and no object of one."""
    dotted = span.partition("(")[0]
    if not MODULE.fullmatch(dotted) or PLACEHOLDER.search(dotted):
        return None
    here, parts = SOURCE, dotted.split(".")[1:]
    while parts and (here / parts[0]).is_dir():
        here = here / parts.pop(0)
    if parts and (here / f"{parts[0]}.py").is_file():
        module = here / f"{parts.pop(0)}.py"
    else:
        module = here / "__init__.py"
    if not module.is_file() or len(parts) > 2:
        return dotted
    return None if not parts or parts[0] in _names(module) else dotted


def missing_test(span: str) -> str | None:
    """The test in ``tests/file.py::test`` that is not in that file."""
    path, _, test = span.partition("::")
    if not path.startswith("tests/") or not test or not (ROOT / path).is_file():
        return None
    return None if test.split("::")[-1].split("[")[0] in (ROOT / path).read_text(encoding="utf-8") else span


def _names(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_names_exists(page: Path) -> None:
    found = spans(page.read_text(encoding="utf-8"))
    wrong = [bad for span in found for bad in (missing_file(span), missing_object(span), missing_test(span)) if bad]
    assert wrong == []


def test_names_are_looked_at() -> None:
    found = [span for page in PAGES for span in spans(page.read_text(encoding="utf-8"))]
    assert sum(span.startswith(TOP) for span in found) > 40
    assert sum(MODULE.fullmatch(span.partition("(")[0]) is not None for span in found) > 5


@pytest.mark.parametrize(
    "span", ["src/asap/align/lost.py", "align/lost.py", "tests/walls/test_lost.py", "docs/lost.md"]
)
def test_a_missing_file_is_noticed(span: str) -> None:
    assert missing_file(span) == span


@pytest.mark.parametrize("span", ["asap.align.lost", "asap.align.loss.lost", "asap.lost.loss"])
def test_a_missing_object_is_noticed(span: str) -> None:
    assert missing_object(span) == span


def test_a_missing_test_is_noticed() -> None:
    assert missing_test("tests/walls/test_sizes.py::test_lost") == "tests/walls/test_sizes.py::test_lost"
    assert missing_test("tests/walls/test_sizes.py::test_nothing_is_oversized") is None


def test_what_exists_is_not_reported() -> None:
    assert [missing_file(span) for span in ("src/asap/align/loss.py", "align/loss.py", "docs/")] == [None] * 3
    objects = ("asap.align", "asap.align.loss", "asap.core.errors.AsapError")
    assert [missing_object(span) for span in objects] == [None] * 3


def test_pages_that_the_code_names_exist() -> None:
    files = [path for folder in ("src/asap", "configs") for path in (ROOT / folder).rglob("*") if path.suffix in CODE]
    named = [
        (path, page)
        for path in files
        for page in re.findall(
            r"(?<![\w/])docs/(?:guides|concepts|reference|experiments)/[\w/-]+\.md", path.read_text()
        )
    ]
    assert len(named) >= 5
    assert [(path.name, page) for path, page in named if not (ROOT / page).is_file()] == []
