import os
from pathlib import Path

import numpy as np
import pytest

from asap.core import files
from asap.core.errors import InputError, StoreError


def test_json_round_trip_with_sorted_keys(tmp_path: Path) -> None:
    files.write_json(tmp_path / "deep" / "x.json", {"b": np.float32(0.5), "a": [1]})
    assert (tmp_path / "deep" / "x.json").read_text().index('"a"') < (tmp_path / "deep" / "x.json").read_text().index(
        '"b"'
    )
    assert files.read_json(tmp_path / "deep" / "x.json") == {"a": [1], "b": 0.5}


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_text(tmp_path / "x", "old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        files.write_text(tmp_path / "x", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_a_folder_in_the_way_is_the_callers_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        files.write_text(tmp_path / "file" / "x", "")
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        files.write_text(tmp_path / "x", "")
    assert not any(path.name.startswith(files.TEMPORARY) for path in tmp_path.iterdir())


def test_reading_what_is_not_there_or_not_json(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        files.read_json(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"\xff{")
    with pytest.raises(StoreError, match="not valid JSON"):
        files.read_json(tmp_path / "x")


def test_appending_adds_and_says_where_it_failed(tmp_path: Path) -> None:
    files.append_text(tmp_path / "log", "a\n")
    files.append_text(tmp_path / "log", "b\n")
    assert (tmp_path / "log").read_text() == "a\nb\n"
    with pytest.raises(InputError, match=f"cannot write {tmp_path}: "):
        files.append_text(tmp_path, "c")
