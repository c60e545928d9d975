"""Images for pretraining: a folder belongs to one setting, and what is there must be whole. Nobody is rendered."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.workflows.pairs import people
from asap.workflows.pairs.people import Job, read_people, render_people

COUNT = people.SHARD + 3


def make(jobs: Sequence[Job], workers: int) -> None:
    for folder, start, count, size, *_ in jobs:
        np.save(Path(folder) / f"images-{start:06d}.npy", np.full((count, size, size, 3), start % 255, np.uint8))
        (Path(folder) / f"people-{start:06d}.json").write_text(json.dumps([{"caption": str(start)}] * count))


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "_render_shards", make)


def test_only_what_is_missing_is_rendered(tmp_path: Path) -> None:
    assert render_people(tmp_path, count=COUNT, size=2) == 2
    assert sorted(path.name for path in tmp_path.glob("images-*")) == ["images-000000.npy", "images-000250.npy"]
    images, records = read_people(tmp_path)
    assert images.shape == (COUNT, 2, 2, 3)
    assert len(records) == COUNT
    (tmp_path / "images-000250.npy").unlink()
    assert render_people(tmp_path, count=COUNT, size=2) == 1
    assert render_people(tmp_path, count=COUNT, size=2) == 0


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"size": 4}, {"namespace": "judge"}, {"held_out": True}, {"count": COUNT + 100}, {"scene": "studio"}],
)
def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    render_people(tmp_path, count=COUNT, size=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=f"{next(iter(change))} is .*, not .*"):
        render_people(tmp_path, **{"count": COUNT, "size": 2, **change})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_unknown_scene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="varied"):
        render_people(tmp_path / "no", count=1, scene="beach")
    assert not (tmp_path / "no").exists()


def test_without_people_the_error_names_a_verb_that_exists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`asap mini pretrain`"):
        read_people(tmp_path)


def test_damaged_shards_are_noticed(tmp_path: Path) -> None:
    render_people(tmp_path, count=3, size=2)
    (tmp_path / "people-000000.json").write_text("[{}]")
    with pytest.raises(StoreError, match="not one record an image"):
        read_people(tmp_path)
    (tmp_path / "people-000000.json").unlink()
    with pytest.raises(StoreError, match="cannot read"):
        read_people(tmp_path)
    (tmp_path / "people-000000.json").write_text("[{}, {}, {}]")
    (tmp_path / "images-000000.npy").write_bytes(b"")
    with pytest.raises(StoreError, match="delete it and make it anew"):
        read_people(tmp_path)


def test_pieces_are_whole_or_refused(tmp_path: Path) -> None:
    render_people(tmp_path, count=3, size=2)
    with pytest.raises(InputError, match=r"has no pieces-000000\.npy"):
        people.read_pieces(tmp_path)
    np.save(tmp_path / "pieces-000000.npy", np.zeros((3, 2, 2), np.uint8))
    assert people.read_pieces(tmp_path).shape == (3, 2, 2)
    (tmp_path / "pieces-000000.npy").write_bytes(b"no array")
    with pytest.raises(StoreError, match="delete its shard"):
        people.read_pieces(tmp_path)
