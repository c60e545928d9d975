"""Functions stay at 80 lines and files at 600, so that each can be read in one sitting."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUNCTION_LINES = 80
FILE_LINES = 600


def oversized(files: list[Path]) -> list[str]:
    """Every function and file over its limit, as ``file:line name lines``."""
    found = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            found.append(f"{path}:1 file {lines}")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    found.append(f"{path}:{node.lineno} {node.name} {length}")
    return found


def python_files() -> list[Path]:
    return sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")])


def test_nothing_is_oversized() -> None:
    files = python_files()
    assert len(files) > 20
    assert oversized(files) == []


def test_an_oversized_function_and_file_are_noticed(tmp_path: Path) -> None:
    body = "    x = 1\n" * FUNCTION_LINES
    (tmp_path / "long.py").write_text(f"def inner() -> None:\n{body}")
    (tmp_path / "tall.py").write_text("x = 1\n" * (FILE_LINES + 1))
    (tmp_path / "fine.py").write_text(f"def inner() -> None:\n{body[10:]}" + "x = 1\n" * (FILE_LINES - FUNCTION_LINES))
    assert [line.split()[1] for line in oversized(sorted(tmp_path.glob("*.py")))] == ["inner", "file"]
