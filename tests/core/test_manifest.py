from dataclasses import replace
from pathlib import Path

import pytest

from asap.core.errors import StoreError
from asap.core.files import read_json, write_json
from asap.core.manifest import Instrument, Manifest, Parent, environment

MANIFEST = Manifest(
    kind="pairs",
    config={"count": 3, "size": 64},
    parents=(Parent("rig", "anny", "ab"),),
    instruments=(Instrument("pair_gate", "ssim", "cd"),),
    notes={"seconds": 1.5},
)


def test_round_trip(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path / "m.json")
    assert Manifest.read(tmp_path / "m.json") == MANIFEST


def test_fingerprint_counts_config_but_not_notes() -> None:
    assert replace(MANIFEST, notes={}, versions={}).fingerprint() == MANIFEST.fingerprint()
    assert replace(MANIFEST, config={}).fingerprint() != MANIFEST.fingerprint()
    assert replace(MANIFEST, instruments=()).fingerprint() != MANIFEST.fingerprint()


def test_environment_knows_python_and_numpy() -> None:
    assert {"python", "numpy", "torch"} <= set(environment())


def test_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown instrument role"):
        Instrument("oracle", "x", "y")


@pytest.mark.parametrize("change", [{"format": 0}, {"parents": [{"kind": "x"}]}, {"kind": None, "config": None}])
def test_a_damaged_manifest_is_a_store_error(tmp_path: Path, change: dict[str, object]) -> None:
    MANIFEST.write(tmp_path / "m.json")
    value = read_json(tmp_path / "m.json")
    assert isinstance(value, dict)
    damaged = {key: item for key, item in {**value, **change}.items() if item is not None}
    write_json(tmp_path / "m.json", damaged)
    with pytest.raises(StoreError, match="manifest"):
        Manifest.read(tmp_path / "m.json")


def test_a_list_is_not_a_manifest(tmp_path: Path) -> None:
    write_json(tmp_path / "m.json", [1])
    with pytest.raises(StoreError, match="not a manifest"):
        Manifest.read(tmp_path / "m.json")


def test_content_hashes_are_those_of_itself_its_parents_and_its_notes() -> None:
    assert MANIFEST.content_hashes() == {"ab"}
    notes = {"content_hash": "ef", "ancestors": ["gh", "ij"]}
    assert replace(MANIFEST, notes=notes).content_hashes() == {"ab", "ef", "gh", "ij"}
