import json
from pathlib import Path

import numpy as np
import pytest

from asap.core.errors import InputError, StoreError
from asap.core.manifest import Manifest
from asap.core.records import ByteArray
from asap.stores.generations import GenerationStore, GenerationWriter

CONFIG = {"model": "mini", "steps": 4}
KEYS = [("basic_anatomy-01", 0), ("basic_anatomy-01", 1), ("full_body-02", 0)]


def picture(prompt_id: str, seed: int) -> ByteArray:
    return np.random.default_rng([len(prompt_id), seed]).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def fill(root: Path, keys: list[tuple[str, int]]) -> str:
    with GenerationWriter(root, CONFIG) as writer:
        for key in keys:
            if key not in writer.done():
                writer.add(*key, picture(*key), prompt="a hand", category="basic_anatomy", extra={"parts": ["hand"]})
        return writer.finish(Manifest(kind="generations", config=CONFIG))


def test_pictures_come_back_sorted_and_lossless(tmp_path: Path) -> None:
    whole = fill(tmp_path, KEYS[::-1])
    store = GenerationStore.open(tmp_path)
    assert [row.key for row in store.rows] == KEYS
    assert all((store.image(row) == picture(*row.key)).all() for row in store.rows)
    assert store.get(*KEYS[1]).extra == {"parts": ["hand"]}
    assert store.content_hash == whole == fill(tmp_path, KEYS)
    with pytest.raises(StoreError, match="has no image"):
        store.get("x", 0)


def test_a_torn_row_is_dropped_and_made_again(tmp_path: Path) -> None:
    whole = fill(tmp_path / "whole", KEYS)
    fill(tmp_path / "torn", KEYS[:2])
    rows = tmp_path / "torn" / "generations.jsonl"
    rows.write_bytes(rows.read_bytes()[:-10])
    with GenerationWriter(tmp_path / "torn", CONFIG) as writer:
        assert writer.done() == {KEYS[0]}
    assert fill(tmp_path / "torn", KEYS) == whole
    assert len(GenerationStore.open(tmp_path / "torn")) == len(KEYS)


def test_damage_is_noticed(tmp_path: Path) -> None:
    fill(tmp_path, KEYS)
    store = GenerationStore.open(tmp_path)
    first, second = store.rows[:2]
    (tmp_path / first.file).write_bytes((tmp_path / second.file).read_bytes())
    with pytest.raises(StoreError, match="not the image that was stored"):
        store.image(first)
    (tmp_path / first.file).unlink()
    with pytest.raises(StoreError, match="cannot read"):
        store.image(first)
    rows = tmp_path / "generations.jsonl"
    text = rows.read_text()
    rows.write_text("\n".join(text.splitlines()[:-1]))
    with pytest.raises(StoreError, match="does not match its manifest"):
        GenerationStore.open(tmp_path)
    rows.write_text("{]\n" + text)
    with pytest.raises(StoreError, match="corrupt at line 1"):
        GenerationStore.open(tmp_path)
    rows.write_text(text.replace('"extra"', '"other"'))
    with pytest.raises(StoreError, match="another version"):
        GenerationStore.open(tmp_path)


def test_bad_calls_are_the_callers_mistakes(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a finished generation store"):
        GenerationStore.open(tmp_path / "none")
    with GenerationWriter(tmp_path / "s", CONFIG) as writer:
        with pytest.raises(StoreError, match="no images"):
            writer.finish(Manifest(kind="generations"))
        writer.add(*KEYS[0], picture(*KEYS[0]), prompt="", category="")
        with pytest.raises(InputError, match="already"):
            writer.add(*KEYS[0], picture(*KEYS[0]), prompt="", category="")
        for name in ("../x", "a/b", "", ".a"):
            with pytest.raises(InputError, match="plain word"):
                writer.add(name, 0, picture("x", 0), prompt="", category="")
    with pytest.raises(InputError, match="steps is 4, not 5"):
        GenerationWriter(tmp_path / "s", {**CONFIG, "steps": 5})
    assert not (tmp_path / "s" / ".lock").exists()


def test_the_layout_is_that_of_geneval(tmp_path: Path) -> None:
    fill(tmp_path, KEYS)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("0*/**/*.*"))
    pictures = ["00000/samples/0000.png", "00000/samples/0001.png", "00001/samples/0000.png"]
    assert found == sorted([*pictures, "00000/metadata.jsonl", "00001/metadata.jsonl"])
    line = json.loads((tmp_path / "00001" / "metadata.jsonl").read_text())
    assert line == {"id": "full_body-02", "tag": "basic_anatomy", "prompt": "a hand", "parts": ["hand"]}


def test_shares_end_as_one_writer_would(tmp_path: Path) -> None:
    whole = fill(tmp_path / "one", KEYS)
    for name, split in (("two", (KEYS[:2], KEYS[2:])), ("again", (KEYS[2:], KEYS[:2]))):
        for share in (0, 1):
            with GenerationWriter(tmp_path / name, CONFIG, share=share) as writer:
                for key in split[share]:
                    place = 0 if key[0] == KEYS[0][0] else 1
                    picked = {"prompt": "a hand", "category": "basic_anatomy", "extra": {"parts": ["hand"]}}
                    writer.add(*key, picture(*key), place=place, **picked)  # type: ignore[arg-type]
        torn = tmp_path / name / "generations-1.jsonl"
        torn.write_bytes(torn.read_bytes() + b'{"torn')
        assert fill(tmp_path / name, KEYS) == whole, "finished by one writer alone, which makes nothing twice"
        assert len(GenerationStore.open(tmp_path / name)) == len(KEYS)
        assert not list(tmp_path.glob("*/generations-*.jsonl"))


def test_shares_lock_each_other_out_but_not_one_another(tmp_path: Path) -> None:
    with GenerationWriter(tmp_path, CONFIG), GenerationWriter(tmp_path, CONFIG, share=1):
        with pytest.raises(StoreError, match="being written"):
            GenerationWriter(tmp_path, CONFIG, share=1)
