from dataclasses import replace
from pathlib import Path

import pytest

from asap.benchmark.suite import LEAST, MINI, SuitePrompt, mini_suite, read_suite, write_suite
from asap.core.errors import InputError, StoreError
from asap.core.vocabulary import CATEGORIES


def rows(n: int) -> list[SuitePrompt]:
    return [
        SuitePrompt(id=f"{name}-{i}", prompt=f"{name} {i}", category=name, parts=("hand",), attributes={"skin": "dark"})
        for name in CATEGORIES
        for i in range(n)
    ]


def test_suite_survives_the_disk(tmp_path: Path) -> None:
    write_suite(tmp_path / "s.json", rows(LEAST))
    assert read_suite(tmp_path / "s.json", least=LEAST) == tuple(sorted(rows(LEAST), key=lambda row: row.id))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    short = [*rows(2), rows(1)[0], replace(rows(1)[0], id="x", prompt="y", parts=("tail",))]
    with pytest.raises(InputError, match=r"of 20 prompts.*'tail'.*occurs twice"):
        write_suite(tmp_path / "s.json", short)
    assert not (tmp_path / "s.json").exists()


def test_broken_suite_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"prompts": [{"id": 1}]}')
    with pytest.raises(StoreError, match=r"not a prompt suite.*use mini, or a file"):
        read_suite(tmp_path / "s.json")


def test_packaged_suite_has_twenty_of_each() -> None:
    assert MINI.is_file()
    found = mini_suite()
    assert {row.category for row in found} == set(CATEGORIES)
    assert all(row.parts for row in found)
