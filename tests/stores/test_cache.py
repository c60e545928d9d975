"""A cache within its limit: what goes first, and what never goes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asap.core.errors import InputError
from asap.stores.cache import GIGABYTE, Cache, room_taken
from asap.stores.latents import KEY, LatentStore
from asap.stores.lock import NAME

ROW = 40_000
"""Numbers of a row; four bytes each."""


def filled(root: Path, model: str, what: str, used: float) -> LatentStore:
    """A store of one row that was last used at ``used``."""
    store = LatentStore(root, {"model": model, "columns": what}, 4)
    store.write([2], {"winner": torch.ones(1, ROW)})
    os.utime(store.root / KEY, (used, used))
    return store


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, LatentStore]:
    """Of our model an old and a new one, of another model likewise."""
    names = {"ours-old": 1.0, "theirs-old": 2.0, "theirs-new": 3.0, "ours-new": 4.0}
    return {name: filled(tmp_path, name.split("-")[0], name, used) for name, used in names.items()}


def left(stores: dict[str, LatentStore]) -> list[str]:
    return [name for name, store in stores.items() if store.root.exists()]


def limit(stores: dict[str, LatentStore], count: float) -> float:
    """Gigabytes of so many of the stores."""
    return count * room_taken(next(iter(stores.values())).root) / GIGABYTE


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        (4.5, ["ours-old", "theirs-old", "theirs-new", "ours-new"]),
        (3.5, ["ours-old", "theirs-new", "ours-new"]),
        (2.5, ["ours-old", "ours-new"]),
        (1.5, ["ours-new"]),
    ],
)
def test_other_models_go_first_and_then_the_oldest(
    room: float, kept: list[str], stores: dict[str, LatentStore], tmp_path: Path
) -> None:
    said = Cache(tmp_path, limit(stores, room)).make_room(0, "ours")
    assert left(stores) == kept
    assert len(said) == 4 - len(kept)
    assert all("another model" in line for line in said[:2])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_room_that_is_still_to_be_taken_counts(stores: dict[str, LatentStore], tmp_path: Path) -> None:
    one = room_taken(stores["ours-old"].root)
    Cache(tmp_path, limit(stores, 4.5)).make_room(one, "ours")
    assert left(stores) == ["ours-old", "theirs-new", "ours-new"]


def test_without_a_limit_nothing_goes(stores: dict[str, LatentStore], tmp_path: Path) -> None:
    assert Cache(tmp_path).make_room(10**15, "ours") == []
    assert len(left(stores)) == 4


def test_what_is_in_use_stays_whoever_uses_it(stores: dict[str, LatentStore], tmp_path: Path) -> None:
    """By this run, by another living process, or by one on another machine; a dead process uses nothing."""
    ours = Cache(tmp_path, limit(stores, 0.5))
    ours.hold(stores["ours-old"].root)
    (stores["theirs-old"].root / f"{NAME}-7").write_text('{"pid": 7, "started": 0, "host": "elsewhere"}')
    code = f"from pathlib import Path; from asap.stores.cache import Cache; Cache(Path({str(tmp_path)!r})).hold("
    dead = f"{code}Path({str(stores['theirs-new'].root)!r}))"
    subprocess.run([sys.executable, "-c", dead], check=True, env={**os.environ, "PYTHONPATH": "src"})
    assert any(path.name.startswith(NAME) for path in stores["theirs-new"].root.iterdir())
    with pytest.raises(InputError, match=r"are in use and would need 0 GB more, but cache_limit allows .*; raise it"):
        ours.make_room(0, "ours")
    assert left(stores) == ["ours-old", "theirs-old"]
    ours.release()
    (stores["theirs-old"].root / f"{NAME}-7").unlink()
    Cache(tmp_path, limit(stores, 1.5)).make_room(0, "ours")
    assert left(stores) == ["ours-old"]


def test_a_use_is_remembered(stores: dict[str, LatentStore], tmp_path: Path) -> None:
    user = Cache(tmp_path)
    user.hold(stores["theirs-old"].root)
    user.release()
    Cache(tmp_path, limit(stores, 3.5)).make_room(0, "ours")
    assert left(stores) == ["ours-old", "theirs-old", "ours-new"]


def test_strangers_in_the_folder_are_left_alone(stores: dict[str, LatentStore], tmp_path: Path) -> None:
    for name, text in (("notes", "{}"), ("broken", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / KEY).write_text(text)
        (tmp_path / name / "mine.txt").write_text("mine")
    Cache(tmp_path, limit(stores, 0.5)).make_room(0, "other")
    assert left(stores) == []
    assert (tmp_path / "notes" / "mine.txt").exists()
    assert (tmp_path / "broken" / "mine.txt").exists()


def test_rows_take_the_room_of_what_is_in_them(tmp_path: Path) -> None:
    """A row that ends in zeros is a hole from there on, and reads as it was written."""
    rows = torch.ones(2, 10, ROW)
    rows[:, 3:] = 0
    full, short = (LatentStore(tmp_path, {"model": name}, 4) for name in ("full", "short"))
    full.write([0, 3], {"text": torch.ones(2, 10, ROW)})
    short.write([0, 3], {"text": rows})
    assert room_taken(short.root) < 0.35 * room_taken(full.root)
    assert torch.equal(short.read([3, 0])["text"], rows.flip(0))
