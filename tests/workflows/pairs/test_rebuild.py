"""Recipes: a set is rebuilt to the same content, or one line says why not."""

import json
import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from asap.cli import main
from asap.core.errors import InputError, StoreError
from asap.core.hashing import digest_file
from asap.core.manifest import Manifest
from asap.exchange.recipe import ARGUMENTS, read_recipe
from asap.stores.pairs import PairStore, PairWriter
from asap.workflows.datasets.recipe import write_recipe
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.controlnet import ControlNet
from asap.workflows.pairs.inpainting import Diffusion, Inpainting
from asap.workflows.pairs.on_policy import OnPolicy
from asap.workflows.pairs.photos import Photos
from asap.workflows.pairs.producer import PairProducer
from asap.workflows.pairs.rebuild import _producer, rebuild
from asap.workflows.pairs.rendered import Rendered
from tests.stores.samples import pair

PHOTOS = Path(os.environ.get("ASAP_PHOTOS", Path(__file__).parents[3].parent / "shared" / "photos"))
SETTINGS = {
    "count": 5, "size": 64, "seed": 3, "namespace": "pairs", "null_share": 0.2, "operations": ["extra", "fused"],
    "scene": "studio",
}  # fmt: skip


def edited(recipe: Path, out: Path, **changes: object) -> Path:
    out.write_text(json.dumps({**json.loads(recipe.read_text()), **changes}))
    return out


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Of a made-up store with the settings of one of rendered people."""
    config: dict[str, object] = {"source": "bodies", **SETTINGS}
    with PairWriter(tmp_path / "made-up", config, 16) as writer:
        writer.write_chunk(0, [pair(0)], {}, 0.1)
        writer.finish(Manifest(kind="pairs", config=config, versions={"anny": "0.1"}))
    return write_recipe(tmp_path / "made-up", tmp_path / "recipe.json")


@pytest.mark.slow
def test_rendered_people_come_back_the_same(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**SETTINGS, "operations": ("extra", "fused")}
    settings["identity_pool"] = settings.pop("namespace")
    built = build_store(tmp_path / "store", Rendered(**settings), workers=1)
    recipe = write_recipe(tmp_path / "store", tmp_path / "r.json")
    assert rebuild(recipe, tmp_path / "again", workers=1) == built
    assert PairStore.open(tmp_path / "again").content_hash == built


def test_a_recipe_is_small_and_holds_every_setting(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe.stat().st_size < 4096
    assert str(recipe.parent) not in recipe.read_text()
    asked: list[object] = []

    def build(out: Path, producer: PairProducer, *, workers: int) -> str:
        asked.extend([producer, workers])
        return str(json.loads(recipe.read_text())["content_hash"])

    monkeypatch.setattr("asap.workflows.pairs.rebuild.build_store", build)
    rebuild(recipe, recipe.parent / "again", workers=3)
    wanted = Rendered(
        count=5, size=64, seed=3, null_share=0.2, operations=("extra", "fused"), scene="studio", identity_pool="pairs"
    )
    assert asked == [wanted, 3]


@pytest.mark.parametrize(
    ("builder", "kind", "more"),
    [
        ("bodies", Rendered, {"chunk"}),
        ("own", OnPolicy, set()),
        ("guided", ControlNet, {"painting", "screening"}),
        ("photographs", Photos, {"landmarker_options", "painting", "screening"}),
        ("photographs", Inpainting, {"landmarker_options", "painting", "screening", "degrade"}),
    ],
)
def test_no_setting_of_a_producer_is_forgotten(builder: str, kind: type[PairProducer], more: set[str]) -> None:
    stored = {kind.stored.get(item.name, item.name) for item in fields(kind) if item.init} - {"", "method"}
    assert set(ARGUMENTS[builder]) == stored | more


def test_recipes_with_a_diffusion_model_are_understood(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painting = {"kind": "skeleton", "model": "m", "controlnet": "c", "device": "cpu", "dtype": "auto", "steps": 3}
    screening = {"kind": "vlm", "model": "seer", "url": "http://a/v1", "least": 0.2}
    photos = {**PHOTO_SETTINGS, "degrade": ["skeleton"], "painting": {**painting, "guidance": None}}
    read = read_recipe(edited(recipe, recipe, builder="photographs", arguments={**photos, "screening": screening}))
    diffusion = Diffusion(model="m", controlnet="c", steps=3)
    assert _producer(read, Path("photos")) == Inpainting(
        source=Path("photos"), method="skeleton", per_image=1, size=64, seed=1, diffusion=diffusion,
        screen="vlm:seer@http://a/v1",
    )  # fmt: skip
    people = {name: value for name, value in SETTINGS.items() if name != "scene"} | {
        "perceptual": "",
        "screening": None,
    }
    read = read_recipe(edited(recipe, recipe, builder="guided", arguments={**people, "painting": painting}))
    assert _producer(read) == ControlNet(
        count=5, size=64, seed=3, null_share=0.2, operations=("extra", "fused"), diffusion=diffusion
    )


def test_another_result_is_an_error_that_names_the_versions(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asap.workflows.pairs.rebuild.build_store", lambda out, producer, **how: "0" * 64)
    with pytest.raises(StoreError, match=r"another content .* anny \S+ here, 0\.1 there"):
        rebuild(recipe, recipe.parent / "again")


def test_what_is_no_recipe_is_refused(recipe: Path, tmp_path: Path) -> None:
    known = json.loads(recipe.read_text())
    for changes, said in (
        ({"kind": "cake"}, "no recipe of format 1"),
        ({"builder": "clay"}, "damaged recipe"),
        ({"sugar": 1}, "damaged recipe"),
        ({"arguments": {**known["arguments"], "sugar": 1}}, "wants the settings count, size"),
    ):
        with pytest.raises(InputError, match=said):
            rebuild(edited(recipe, tmp_path / "r.json", **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_imported_store_has_no_recipe(tmp_path: Path) -> None:
    with PairWriter(tmp_path / "s", {}, 8) as writer:
        writer.write_chunk(0, [pair(0)], {}, 0.1)
        writer.finish(Manifest(kind="pairs", config={"source": "import"}))
    with pytest.raises(InputError, match="made by import; only sets that were built"):
        write_recipe(tmp_path / "s", tmp_path / "r.json")


PHOTO_SETTINGS: dict[str, Any] = {
    "degrade": ["warp"], "per_image": 1, "size": 64, "seed": 1, "null_share": 0.1, "operations": [],
    "landmarker": "mediapipe", "landmarker_options": {}, "painting": None,
    "screening": None, "perceptual": "",
}  # fmt: skip


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[dict[str, Any]]]:
    """A folder of three files and a stand-in for the stage of photographs: one pair a file, from name and caption."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "sub/c.png"):
        (folder / name).write_bytes(name.encode())
    (folder / "a.hand.left.mask.png").write_bytes(b"mask")
    (folder / "b.jpg").write_bytes(b"")
    said = {"a.jpg": "one hand", "sub/c.png": "two hands"}
    (folder / "metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": name, "text": text}) + "\n" for name, text in said.items())
    )
    calls: list[dict[str, Any]] = []

    def build(out: Path, producer: Photos, *, workers: int) -> str:
        source, given = producer.source, {name: getattr(producer, name) for name in ("per_image", "size", "seed")}
        calls.append({**given, "files": sorted(p.relative_to(source).as_posix() for p in source.rglob("*.*"))})
        table = [json.loads(line) for line in (source / "metadata.jsonl").read_text().splitlines()]
        captions = {row["file_name"]: row["text"] for row in table}
        config: dict[str, object] = {"source": "photographs", **PHOTO_SETTINGS}
        names = sorted(p.relative_to(source).as_posix() for p in source.rglob("*.*") if ".mask" not in p.name)
        names.remove("metadata.jsonl")
        outcomes: list[dict[str, object]] = []
        pairs = []
        for index, name in enumerate(names):
            if not (source / name).stat().st_size:
                outcomes.append({"name": name, "outcome": "file_unreadable"})
                continue
            outcomes.append({"name": name, "outcome": "pairs", "digest": digest_file(source / name)})
            made = vars(pair(index)) | {"source": name, "prompt": captions[name]}
            pairs.append(type(pair(index))(**made))
        with PairWriter(out, config, 8) as writer:
            writer.write_chunk(0, pairs, {}, 0.1, outcomes)
            return writer.finish(Manifest(kind="pairs", config=config))

    monkeypatch.setattr("asap.workflows.pairs.rebuild.build_store", build)
    build(tmp_path / "store", Photos(source=folder, degrade=("warp",), per_image=1, size=64, seed=1), workers=1)
    return folder, calls


def test_photographs_are_checked_and_handed_on(
    photographs: tuple[Path, list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, calls = photographs
    recipe = tmp_path / "recipe.json"
    assert main(["pairs", "recipe", str(tmp_path / "store"), "--out", str(recipe)]) == 0
    moved = tmp_path / "elsewhere"
    shutil.move(folder, moved)
    (moved / "metadata.jsonl").unlink()
    (moved / "b.jpg").unlink()
    (moved / "further.jpg").write_bytes(b"a file that came later")
    words = ["pairs", "rebuild", str(recipe), "--source", str(moved), "--out", str(tmp_path / "again")]
    assert main([*words, "--workers", "1"]) == 0
    assert capsys.readouterr().out.split()[-1] == PairStore.open(tmp_path / "store").content_hash
    files = ["a.hand.left.mask.png", "a.jpg", "b.jpg", "metadata.jsonl", "sub/c.png"]
    assert calls[1] == {"per_image": 1, "size": 64, "seed": 1, "files": files}


def test_missing_and_other_photographs_are_named(
    photographs: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, calls = photographs
    recipe = write_recipe(tmp_path / "store", tmp_path / "recipe.json")
    (folder / "a.jpg").unlink()
    (folder / "sub" / "c.png").write_bytes(b"another")
    with pytest.raises(InputError, match=r"a\.jpg is missing; sub/c\.png is another file"):
        rebuild(recipe, tmp_path / "again", source=folder)
    with pytest.raises(InputError, match="name their folder with --source"):
        rebuild(recipe, tmp_path / "again")
    outside = edited(recipe, tmp_path / "r.json", sources=[{"name": "../x", "sha256": "0"}])
    with pytest.raises(InputError, match="files below its folder"):
        rebuild(outside, tmp_path / "again", source=folder)
    assert len(calls) == 1


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"the five photographs are not at {PHOTOS}")
def test_real_photographs_come_back_the_same(tmp_path: Path) -> None:
    """From bare copies of the files: captions come from the recipe, and a file that was none keeps its place."""
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        for name in ("thumb_up.jpg", "two_thumbs_up.jpg"):
            shutil.copy(PHOTOS / name, tmp_path / folder)
    (tmp_path / "first" / "a page.jpg").write_text("<html>")
    (tmp_path / "first" / "thumb_up.txt").write_text("a thumb held up")
    built = build_store(tmp_path / "store", Photos(source=tmp_path / "first", per_image=1, size=256), workers=1)
    recipe = write_recipe(tmp_path / "store", tmp_path / "recipe.json")
    assert rebuild(recipe, tmp_path / "again", source=tmp_path / "second", workers=1) == built
    assert "a thumb held up" in PairStore.open(tmp_path / "again").column("prompt")
