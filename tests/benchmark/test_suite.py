from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from asap.benchmark import suite as room
from asap.benchmark.suite import LEAST, MINI, SUITES, SuitePrompt, load_suite, read_suite
from asap.core.errors import StoreError, UnknownNameError
from asap.core.files import write_json
from asap.core.vocabulary import CATEGORIES


def rows(n: int) -> list[SuitePrompt]:
    return [
        SuitePrompt(id=f"{name}-{i}", prompt=f"{name} {i}", category=name, parts=("hand",), attributes={"skin": "dark"})
        for name in CATEGORIES
        for i in range(n)
    ]


def test_a_suite_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "s.json", {"prompts": [asdict(row) for row in rows(LEAST)]})
    assert read_suite(tmp_path / "s.json", least=LEAST) == tuple(rows(LEAST))


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    short = [*rows(2), rows(1)[0], replace(rows(1)[0], id="x", prompt="y", parts=("tail",))]
    write_json(tmp_path / "s.json", {"prompts": [asdict(row) for row in short]})
    with pytest.raises(StoreError, match=r"of 20 prompts.*'tail'.*occurs twice"):
        read_suite(tmp_path / "s.json", least=LEAST)


def test_broken_suite_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"prompts": [{"id": 1}]}')
    with pytest.raises(StoreError, match=r"not a prompt suite.*use haf, haf-lite, haf-mini, or see docs/"):
        read_suite(tmp_path / "s.json")


def test_packaged_suite_has_twenty_of_each() -> None:
    assert MINI.is_file()
    found = load_suite("haf-mini").prompts
    assert {row.category for row in found} == set(CATEGORIES)
    assert all(row.parts for row in found)
    assert load_suite("mini").digest == load_suite("haf-mini").digest


def test_haf_is_known_by_its_hash_and_lite_is_part_of_it() -> None:
    whole, lite = load_suite("haf"), load_suite("haf-lite")
    assert whole.version == lite.version == "1.0"
    assert whole.digest.startswith("6aecfa30e0b06975"), "a changed prompt needs a new version, and its hash here"
    assert Counter(row.category for row in lite.prompts) == dict.fromkeys(CATEGORIES, 10)
    assert {row.id for row in lite.prompts} < {row.id for row in whole.prompts}
    assert len({load_suite(name).digest for name in SUITES}) == 3


def test_a_changed_prompt_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("haf.json", "haf.jsonl"):
        text = (room.FOLDER / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("elderly fisherman", "young fisherman"), encoding="utf-8")
    monkeypatch.setattr(room, "FOLDER", tmp_path)
    with pytest.raises(StoreError, match="not those of their version"):
        load_suite("haf")


def test_suites_are_named_or_files(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"known: a file, haf, haf-lite, haf-mini"):
        load_suite("hafff")
    write_json(tmp_path / "own.json", {"prompts": [asdict(row) for row in rows(1)]})
    assert load_suite(tmp_path / "own.json").name == "own"
