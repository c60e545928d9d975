"""The search for dead code finds what is planted: a function, an export and an allowed name that is not needed."""

from pathlib import Path

import pytest

from tests.walls.dead_code import dead_code, program, stale

USED = '''"""A module."""

__all__ = ["called"]


def called() -> int:
    """Used by the other module."""
    return 1
'''
CALLER = '"""A caller."""\n\nfrom used import called\n\nprint(called())\n'


def plant(folder: Path, extra: str = "") -> list[Path]:
    (folder / "used.py").write_text(USED + extra)
    (folder / "caller.py").write_text(CALLER)
    return sorted(folder.glob("*.py"))


def test_used_code_is_not_reported(tmp_path: Path) -> None:
    assert dead_code(plant(tmp_path), allowed=()) == []


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ("\n\ndef planted() -> int:\n    return 2\n", "unused function 'planted'"),
        ("\n\nclass Used:\n    def method(self) -> int:\n        return 2\n\n\nUsed()\n", "unused method 'method'"),
        ("\n\nLIMIT = 3\n", "unused variable 'LIMIT'"),
    ],
    ids=["function", "method", "constant"],
)
def test_planted_code_is_found(tmp_path: Path, extra: str, found: str) -> None:
    (line,) = dead_code(plant(tmp_path, extra), allowed=())
    assert found in line


def test_an_export_without_a_caller_is_found(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(USED)
    (line,) = dead_code([tmp_path / "alone.py"], allowed=())
    assert "unused function 'called'" in line
    assert ":6:" in line, "line numbers are those of the file"


def test_the_allow_list_hides_a_name_and_notices_a_stale_one(tmp_path: Path) -> None:
    files = plant(tmp_path, "\n\ndef planted() -> int:\n    return 2\n")
    assert dead_code(files, allowed=["planted"]) == []
    assert stale(files, allowed=["planted", "called", "gone"]) == ["called", "gone"]


def test_the_program_is_scanned() -> None:
    assert len(program()) > 250
