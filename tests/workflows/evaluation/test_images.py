import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asap.benchmark.suite import load_suite
from asap.core.errors import InputError, StoreError
from asap.core.manifest import Manifest
from asap.stores.generations import GenerationStore
from asap.workflows.evaluation.bench import run, verdicts_of
from asap.workflows.evaluation.images import import_images

PROMPTS = load_suite("haf-lite").prompts
FIRST, SECOND = PROMPTS[0], PROMPTS[1]


def draw(path: Path, value: int, size: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size + 4, 3), value, np.uint8)).save(path)
    return path


def shades(store: GenerationStore) -> dict[tuple[str, int], int]:
    return {row.key: int(store.image(row)[0, 0, 0]) for row in store.rows}


def test_the_three_layouts_give_one_store(tmp_path: Path) -> None:
    draw(tmp_path / "flat" / f"{FIRST.id}_0.png", 10)
    draw(tmp_path / "flat" / f"{SECOND.id}_00000_.png", 20)
    draw(tmp_path / "geneval" / "00000" / "samples" / "0000.png", 10)
    (tmp_path / "geneval" / "00000" / "metadata.jsonl").write_text(json.dumps({"prompt": FIRST.prompt}))
    draw(tmp_path / "geneval" / "00001" / "samples" / "0000.png", 20)
    (tmp_path / "geneval" / "00001" / "metadata.jsonl").write_text(json.dumps({"id": SECOND.id, "prompt": "other"}))
    draw(tmp_path / "listed" / "a.png", 10)
    draw(tmp_path / "listed" / "b.png", 20)
    rows = [{"file": "a.png", "prompt": FIRST.prompt, "seed": 0}, {"file": "b.png", "prompt_id": SECOND.id, "seed": 0}]
    (tmp_path / "listed" / "images.jsonl").write_text("\n".join(map(json.dumps, rows)))
    hashes = set()
    for name in ("flat", "geneval", "listed"):
        out = import_images(tmp_path / "out" / name, tmp_path / name, suite="haf-lite")
        store = GenerationStore.open(out)
        assert shades(store) == {(FIRST.id, 0): 10, (SECOND.id, 0): 20}
        assert store.rows[0].extra["counts"] == dict(FIRST.counts)
        hashes.add(store.content_hash)
    assert len(hashes) == 1


def test_what_is_missing_and_unknown_is_said(tmp_path: Path) -> None:
    firsts = list({row.category: row for row in reversed(PROMPTS)}.values())
    for row in firsts:
        draw(tmp_path / "in" / f"{row.id}_0.png", 1)
    draw(tmp_path / "in" / f"{firsts[0].id}_1.png", 2)
    done = run(tmp_path / "some-api", suite="haf-lite", images=tmp_path / "in", limit=1)
    manifest = Manifest.read(Path(done["pictures"]) / "manifest.json")
    assert manifest.notes["unknown_lineage"] is True
    assert manifest.notes["missing"] == 2 * 5 - 6
    assert manifest.config["model"] == "some-api"
    assert manifest.config["seeds"] == [0, 1]


def test_strangers_doubles_and_nothing_are_refused(tmp_path: Path) -> None:
    draw(tmp_path / "in" / f"{FIRST.id}_0.png", 1)
    stranger = draw(tmp_path / "in" / "holiday_1.png", 1)
    with pytest.raises(InputError, match=r"1 files of .* belong to no prompt .*holiday_1\.png"):
        import_images(tmp_path / "out", tmp_path / "in", suite="haf-lite")
    stranger.unlink()
    double = draw(tmp_path / "in" / f"{FIRST.id}_00.png", 1)
    with pytest.raises(InputError, match="are both prompt"):
        import_images(tmp_path / "out", tmp_path / "in", suite="haf-lite")
    double.unlink()
    (tmp_path / "in" / f"{FIRST.id}_0.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="is no image that can be read"):
        import_images(tmp_path / "out", tmp_path / "in", suite="haf-lite")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image of haf-lite"):
        import_images(tmp_path / "out2", tmp_path / "empty", suite="haf-lite")
    (tmp_path / "empty" / "images.jsonl").write_text('{"file": "a.png"}')
    with pytest.raises(StoreError, match="needs file, seed"):
        import_images(tmp_path / "out2", tmp_path / "empty", suite="haf-lite")


def test_pictures_made_elsewhere_take_no_lora(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave one of --images and --lora out"):
        run(tmp_path / "out", suite="haf-lite", images=tmp_path, lora=tmp_path)


def test_which_verdicts_a_run_has(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no verdicts; judge it with"):
        verdicts_of(tmp_path, None)
    for name in ("learned", "vlm"):
        folder = tmp_path / "verdicts" / name
        folder.mkdir(parents=True)
        (folder / "verdicts.jsonl").write_text("")
    with pytest.raises(InputError, match=r"has verdicts of learned, vlm; say which"):
        verdicts_of(tmp_path, None)
    assert verdicts_of(tmp_path, "vlm").name == "vlm"
    assert verdicts_of(tmp_path / "verdicts" / "learned", None).name == "learned"
    with pytest.raises(StoreError, match="no verdicts of human"):
        verdicts_of(tmp_path, "human")
