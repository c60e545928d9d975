"""Pairs to the formats of other tools and back, through files."""

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asap.benchmark.judge import label_pair
from asap.cli import main
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.manifest import Manifest
from asap.exchange import FORMATS
from asap.stores.pairs import PairRow, PairStore
from asap.workflows.datasets import export as exchange
from asap.workflows.datasets.contact_sheet import show_pairs
from asap.workflows.datasets.export import export_pairs
from asap.workflows.datasets.importing import REFUSED, import_pairs
from asap.workflows.training.run import train
from tests.exchange import readers
from tests.exchange.samples import COUNT, GATE, build, records

NULLS = sum(record.edit.kind != "defect" for record in records())
BACK = tuple(name for name, form in FORMATS.items() if form.parse)
JSON = ("pickapic", "parquet", "webdataset")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PairStore:
    return build(tmp_path_factory.mktemp("pairs") / "store")


@pytest.fixture(scope="module")
def exported(store: PairStore, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The whole store as one format, null edits too, made once."""
    top = tmp_path_factory.mktemp("exports")

    def make(name: str) -> Path:
        if not (top / name).exists():
            told = export_pairs(store.root, top / name, name=name, nulls=True)
            assert told["pairs"] == COUNT
        return top / name

    return make


def rows(store: PairStore) -> dict[str, PairRow]:
    return {row.uid: row for row in store.rows(range(len(store)))}


def same(one: object, other: object) -> bool:
    return np.asarray(one).tolist() == np.asarray(other).tolist() if isinstance(one, np.ndarray) else one == other


def differing(one: PairRow, other: PairRow) -> set[str]:
    return {f.name for f in fields(PairRow) if not same(getattr(one, f.name), getattr(other, f.name))}


@pytest.mark.parametrize("name", BACK)
def test_there_and_back_nothing_is_lost(
    name: str, store: PairStore, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    told = import_pairs(exported(name), tmp_path / "back", name=name)
    back = rows(PairStore.open(tmp_path / "back"))
    lost = set() if name in JSON else {"regions", "digest"}
    for uid, row in rows(store).items():
        assert differing(row, back[uid]) == lost
    assert len(back) == COUNT
    assert told["refused"] == 0
    assert told["as_exported"] is (name in JSON)
    assert (told["content_hash"] == store.content_hash) is (name in JSON)
    manifest = Manifest.read(tmp_path / "back" / "manifest.json")
    assert manifest.instruments == (GATE,)
    assert store.content_hash in manifest.content_hashes()


def test_every_format_is_tested() -> None:
    assert set(FORMATS) == {*BACK, "simpletuner"} == {*JSON, "onetrainer", "kohya", "simpletuner"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves shards to be collected
@pytest.mark.parametrize("name", ["pickapic", "parquet", "webdataset"])
def test_the_datasets_library_loads_it(
    name: str, store: PairStore, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    import datasets

    builder = {"webdataset": "webdataset"}.get(name, "parquet")
    loaded = datasets.load_dataset(builder, data_dir=str(exported(name)), cache_dir=str(tmp_path))
    assert {split: len(part) for split, part in loaded.items()} == {
        called: len(PairStore.open(store.root, split=split))
        for called, split in (("train", "train"), ("validation", "val"), ("test", "test"))
    }
    known = {record.prompt: record for record in records()}
    for part in loaded.values():
        for row in part:
            if name == "pickapic":
                chosen, rejected, prompt = readers.diffusion_dpo(row)
            elif name == "parquet":
                chosen, rejected, prompt = np.array(row["chosen"]), np.array(row["rejected"]), row["prompt"]
            else:
                chosen, rejected = np.array(row["chosen.png"]), np.array(row["rejected.png"])
                prompt = row["json"]["prompt"]
            assert np.array_equal(chosen, known[prompt].chosen)
            assert np.array_equal(rejected, known[prompt].rejected)
    gc.collect()


@pytest.mark.parametrize("name", ["pickapic", "parquet"])
def test_a_training_script_finds_the_splits_of_the_bare_folder(
    name: str, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    """``load_dataset(FOLDER)`` is what the diffusion-DPO scripts call with their ``--dataset_name``."""
    import datasets

    loaded = datasets.load_dataset(str(exported(name)), cache_dir=str(tmp_path))
    assert set(loaded) == {"train", "validation", "test"}


def test_both_sides_of_pick_a_pic_come_first(exported: Callable[[str], Path]) -> None:
    labels = [
        label
        for path in sorted(exported("pickapic").rglob("*.parquet"))
        for label in pq.read_table(path, columns=["label_0"], partitioning=None).column("label_0").to_pylist()
    ]
    assert set(labels) == {0.0, 1.0}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves shards to be collected
def test_the_webdataset_package_reads_the_shards(exported: Callable[[str], Path]) -> None:
    webdataset = pytest.importorskip("webdataset")
    shards = [str(path) for path in sorted(exported("webdataset").glob("*.tar"))]
    known = {record.uid: record for record in records()}
    found = set()
    for sample in webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"):
        record = known[sample["json"]["uid"]]
        assert sample["json"]["prompt"] == record.prompt
        assert np.array_equal(sample["chosen.png"], record.chosen)
        assert np.array_equal(sample["rejected.png"], record.rejected)
        assert np.array_equal(sample["mask.png"][:, :, 0], record.mask)
        found.add(record.uid)
    assert found == set(known)
    gc.collect()


@pytest.mark.parametrize("name", ["onetrainer", "kohya"])
def test_a_one_sided_trainer_sees_winners_with_masks_only(name: str, exported: Callable[[str], Path]) -> None:
    out, wanted = exported(name), {record.uid: record for record in records() if record.split == "train"}
    found = (
        readers.onetrainer(out / "train" / "chosen") if name == "onetrainer" else readers.kohya(out / "dataset.toml")
    )
    assert found.keys() == wanted.keys()
    for uid, (image, mask, caption) in found.items():
        assert np.array_equal(image, wanted[uid].chosen)
        assert np.array_equal(mask, wanted[uid].mask)
        assert caption == " ".join(wanted[uid].prompt.split())
        assert np.array_equal(readers.pixels(out / "train" / "rejected" / f"{uid}.png"), wanted[uid].rejected)


def test_simpletuner_links_its_three_data_sets_by_name(exported: Callable[[str], Path]) -> None:
    found = readers.simpletuner(exported("simpletuner") / "multidatabackend.json")
    wanted = {record.uid: record for record in records() if record.split == "train"}
    assert found.keys() == wanted.keys()
    for uid, (chosen, rejected, mask, caption) in found.items():
        assert np.array_equal(chosen, wanted[uid].chosen)
        assert np.array_equal(rejected, wanted[uid].rejected)
        assert np.array_equal(mask, wanted[uid].mask)
        assert caption == " ".join(wanted[uid].prompt.split())


def test_null_edits_stay_at_home_unless_asked_for(store: PairStore, tmp_path: Path) -> None:
    told = export_pairs(store.root, tmp_path / "out", name="parquet")
    assert told["pairs"] == COUNT - NULLS
    back = import_pairs(tmp_path / "out", tmp_path / "back", name="parquet")
    assert set(PairStore.open(tmp_path / "back").column("kind")) == {"defect"}
    assert back["as_exported"] is False


def test_one_split(store: PairStore, tmp_path: Path) -> None:
    export_pairs(store.root, tmp_path / "out", name="kohya", split="val")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["asap.json", "dataset.toml", "pairs", "val"]
    assert len(readers.kohya(tmp_path / "out" / "dataset.toml")) == sum(
        record.split == "val" and record.edit.kind == "defect" for record in records()
    )


def test_small_shards_hold_the_same(store: PairStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SHARD_BYTES", 1)
    told = export_pairs(store.root, tmp_path / "out", name="webdataset", nulls=True)
    assert told["files"] == COUNT
    assert import_pairs(tmp_path / "out", tmp_path / "back", name="webdataset")["as_exported"] is True


def test_equal_pairs_make_equal_files(store: PairStore, exported: Callable[[str], Path], tmp_path: Path) -> None:
    export_pairs(store.root, tmp_path / "again", name="webdataset", nulls=True)
    for path in exported("webdataset").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_an_export_is_whole_or_absent(store: PairStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: PairStore) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(stream(self)):
            if number == 5:
                raise StoreError("the disk is gone")
            yield row

    stream = PairStore.stream
    monkeypatch.setattr(PairStore, "stream", failing)
    with pytest.raises(StoreError, match="disk is gone"):
        export_pairs(store.root, tmp_path / "out", name="onetrainer")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_export_leaves_nothing_and_the_next_one_clears_up(store: PairStore, tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, "src")
from pathlib import Path
from asap.workflows.datasets import export as exchange
exchange.SHARD_BYTES = 1
keep = exchange._write_files
def dying(place, files, done):
    keep(place, files, done)
    if done["files"] > 20:
        os.kill(os.getpid(), signal.SIGKILL)
exchange._write_files = dying
exchange.export_pairs(Path({str(store.root)!r}), Path({str(tmp_path / "out")!r}), name="onetrainer")
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == [".tmp-out"]
    export_pairs(store.root, tmp_path / "out", name="kohya")
    assert not list((tmp_path / "out").rglob("*masklabel*"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_other_things_is_left_alone(store: PairStore, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(InputError, match="is not empty"):
        export_pairs(store.root, tmp_path, name="kohya")
    with pytest.raises(UnknownNameError, match="known: kohya, onetrainer"):
        export_pairs(store.root, tmp_path / "x", name="zip")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_killed_import_goes_on_to_the_same_content(
    store: PairStore, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, "src")
from pathlib import Path
from asap.workflows.datasets import importing
importing.CHUNK = 8
write = importing.PairWriter.write_chunk
def dying(self, number, *rest):
    write(self, number, *rest)
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
importing.PairWriter.write_chunk = dying
importing.import_pairs(Path({str(exported("pickapic"))!r}), Path({str(tmp_path / "back")!r}), name="pickapic")
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL)
    assert ended.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "back" / "parts").glob("*.json"))) == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asap.workflows.datasets.importing.CHUNK", 8)
        told = import_pairs(exported("pickapic"), tmp_path / "back", name="pickapic")
    assert told["content_hash"] == store.content_hash


def table(path: Path, found: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(found), path)
    return path


def foreign(store: PairStore) -> list[dict[str, Any]]:
    """Rows as Pick-a-Pic itself has them: no mask, no facts of ours."""
    return [
        {
            "caption": row["prompt"],
            "has_label": True,
            "jpg_0": row["rejected"],
            "jpg_1": row["chosen"],
            "label_0": 0.0,
            "label_1": 1.0,
        }
        for row in store.stream()
    ]


def test_rows_of_others_get_what_nobody_said(store: PairStore, tmp_path: Path) -> None:
    given = foreign(store)
    table(tmp_path / "in" / "train-00000.parquet", given)
    told = import_pairs(tmp_path / "in", tmp_path / "out", name="pickapic")
    assert told["masks"] == {"everywhere": COUNT}
    assert "as_exported" not in told
    found = PairStore.open(tmp_path / "out")
    known = rows(store)
    for row, (original, asked) in zip(found.rows(range(COUNT)), zip(known.values(), given, strict=True), strict=True):
        assert row.prompt == asked["caption"]
        assert np.array_equal(row.chosen, original.chosen)
        assert np.array_equal(row.rejected, original.rejected)
        assert (row.mask == 255).all()
        assert row.box == (0, 0, row.width, row.height)
        assert (row.kind, row.part, row.side, row.operation, row.severity) == (
            "defect", "unknown", "none", "unknown", 0,
        )  # fmt: skip
        assert (row.category, row.source) == ("unspecified", f"train-00000.parquet#{row.index}")
        assert row.recipe == {"imported_from": row.source, "mask": "everywhere"}
        assert row.gates == {"max_abs_diff_outside": 0.0}


def test_an_imported_store_is_a_store_like_any_other(store: PairStore, tmp_path: Path) -> None:
    """Statistics, contact sheet and training take it; a judge says why it cannot."""
    table(tmp_path / "in.parquet", foreign(store))
    import_pairs(tmp_path / "in.parquet", tmp_path / "out", name="pickapic")
    found = PairStore.open(tmp_path / "out").stats()
    assert (found["by_part"], found["by_operation"], found["by_severity"]) == (
        {"unknown": COUNT}, {"unknown": COUNT}, {"0": COUNT},
    )  # fmt: skip
    assert show_pairs(tmp_path / "out", tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    trained = train("tiny", tmp_path / "out", tmp_path / "run", steps=1, batch_size=2, precision="fp32")
    assert trained["steps"] == 1
    row = PairStore.open(tmp_path / "out").row(0)
    images = {name: getattr(row, name) for name in ("chosen", "rejected", "mask", "regions")}
    facts = {name: getattr(row, name) for name in ("kind", "part", "operation", "severity", "person")}
    with pytest.raises(InputError, match="whose part is known, got 'unknown'"):
        label_pair(**images, **facts, visible_parts=(), attributes={}, names=(), size=32)


def test_nothing_of_one_caption_is_in_two_splits(store: PairStore, tmp_path: Path) -> None:
    given = [row | {"caption": f"caption {number % 100}"} for number, row in enumerate(foreign(store)[:1] * 200)]
    table(tmp_path / "in.parquet", given)
    told = import_pairs(tmp_path / "in.parquet", tmp_path / "out", name="pickapic")
    found = PairStore.open(tmp_path / "out")
    groups: dict[str, set[str]] = {}
    for prompt, split in zip(found.column("prompt"), found.column("split"), strict=True):
        groups.setdefault(prompt, set()).add(split)
    assert all(len(splits) == 1 for splits in groups.values())
    assert set(told["by_split"]) == {"train", "val", "test"}  # type: ignore[call-overload]


def test_bad_rows_are_counted_with_reasons(store: PairStore, tmp_path: Path) -> None:
    good = [row | {"mask": None} for row in foreign(store)[:7]]
    small = PairStore.open(store.root).column("mask")[0]
    good[1] |= {"label_0": 0.5, "label_1": 0.5}
    good[2] |= {"jpg_0": b"no image"}
    good[3] |= {"caption": None}
    good[4] |= {"has_label": False}
    good[5] |= {"mask": small[:40]}
    good[6] |= {"label_0": 1.0, "label_1": 1.0}
    table(tmp_path / "a.parquet", good)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 cut")
    told = import_pairs(tmp_path, tmp_path / "out", name="pickapic")
    reasons = {
        "label_tie": 1, "unreadable_picture": 2, "no_prompt": 1, "no_label": 1, "bad_label": 1, "damaged_file": 1,
    }  # fmt: skip
    assert told["by_reason"] == dict(sorted(reasons.items()))
    assert (told["accepted"], told["refused"]) == (1, 7)
    lines = [json.loads(line) for line in (tmp_path / "out" / REFUSED).read_text().splitlines()]
    assert [line["name"] for line in lines] == [*(f"a.parquet#{n}" for n in range(1, 7)), "b.parquet#0"]
    assert "1.0 and 1.0" in lines[5]["detail"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"part": "wing"}, "part must be hand or"),
        ({"severity": 9}, "severity must be a whole number from 0 to 3"),
        ({"kind": "null_pose", "operation": "fused"}, "operation must be none"),
        ({"keypoints": [[1, 2]]}, "keypoints must be rows of three"),
        ({"recipe": {"a": [1]}}, "recipe must be an object"),
        ({"gate_contrast": "much"}, "gate_contrast must be a finite number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"visible_parts": ["wing"]}, "visible_parts must be a list"),
        ({"seed": float("nan")}, "not JSON compliant"),
        ({"person": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_facts_are_checked(facts: dict[str, object], said: str, store: PairStore, tmp_path: Path) -> None:
    first, second = foreign(store)[:2]
    table(tmp_path / "in.parquet", [first | {"asap": json.dumps(facts)}, second | {"asap": None}])
    told = import_pairs(tmp_path / "in.parquet", tmp_path / "out", name="pickapic")
    assert told["by_reason"] == {"bad_facts": 1}
    assert said in (tmp_path / "out" / REFUSED).read_text()


def test_a_pair_that_comes_twice_is_taken_once(
    store: PairStore, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    """Without ``asap.json`` the rows are somebody's copy of ours: facts stay, numbers and splits are made anew."""
    shards = sorted(exported("parquet").rglob("*.parquet"))
    for number in range(2):
        (tmp_path / f"train-{number}.parquet").write_bytes(shards[0].read_bytes())
    told = import_pairs(tmp_path, tmp_path / "out", name="parquet")
    assert told["by_reason"] == {"duplicate_uid": told["accepted"]}
    row = PairStore.open(tmp_path / "out").row(0)
    assert differing(row, rows(store)[row.uid]) <= {"index", "split", "recipe", "digest"}


def test_grey_and_missing_masks_of_folders_are_noted(store: PairStore, tmp_path: Path) -> None:
    from PIL import Image

    row = store.row(0)
    for name in ("a", "b"):
        for side in ("chosen", "rejected"):
            (tmp_path / "in" / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(getattr(row, side)).save(tmp_path / "in" / side / f"{name}.png")
        (tmp_path / "in" / "chosen" / f"{name}.txt").write_text(f"{name} hand\n")
    grey = np.where(row.mask > 0, np.uint8(200), np.uint8(90))
    Image.fromarray(grey).save(tmp_path / "in" / "chosen" / "a-masklabel.png")
    told = import_pairs(tmp_path / "in", tmp_path / "out", name="onetrainer")
    assert told["masks"] == {"binarized": 1, "everywhere": 1}
    first = PairStore.open(tmp_path / "out").row(0)
    assert np.array_equal(first.mask, row.mask)
    assert first.prompt == "a hand"


def test_what_cannot_be_imported_is_said(exported: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exported as kohya, not as onetrainer"):
        import_pairs(exported("kohya"), tmp_path / "out", name="onetrainer")
    with pytest.raises(InputError, match="exported only"):
        import_pairs(exported("simpletuner"), tmp_path / "out", name="simpletuner")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="wanted a folder chosen beside"):
        import_pairs(tmp_path / "empty", tmp_path / "out", name="kohya")
    with pytest.raises(InputError, match=r"ending in \.tar"):
        import_pairs(tmp_path / "missing", tmp_path / "out", name="webdataset")


def test_the_commands(store: PairStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pairs", "export", str(store.root), "--format", "parquet", "--out", str(tmp_path / "out"), "--nulls"]
    assert main(words) == 0
    assert f"pairs   {COUNT}" in capsys.readouterr().out
    words = ["pairs", "import", str(tmp_path / "out"), "--format", "parquet", "--out", str(tmp_path / "back"), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["content_hash"] == store.content_hash
    assert main(["pairs", "export", str(store.root), "--format", "zip", "--out", str(tmp_path / "x")]) == 2
    assert os.listdir(tmp_path / "out")
