"""Cards, Croissant metadata and uploads to a stand-in for the Hub."""

import io
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from asap.core.errors import ConfigError, InputError
from asap.core.hashing import digest_file
from asap.core.manifest import Manifest, Parent
from asap.exchange.statements import Statement, parse_statements, tally
from asap.stores.pairs import PairStore, PairWriter, encode_rows
from asap.stores.pairs.encode import EncodedChunk
from asap.workflows.datasets.publish import push_pairs, write_card
from tests.exchange.samples import COUNT, GATE, build, records
from tests.stores.samples import pair
from tests.workflows.hub import Hub, hub

ROOT = Path(__file__).parents[3]
SAID = {
    "dataset": {"name": "Hands", "licence": "CC-BY-4.0", "creator": "Jane Doe", "citation": "@misc{hands}"},
    "sources": [
        {"files": "studio/*", "licence": "CC-BY-4.0", "consent": "written release", "attribution": "Jane Doe"},
        {"files": "web/*", "licence": "CC0-1.0"},
    ],
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> PairStore:
    return build(tmp_path_factory.mktemp("publish") / "store")


@pytest.fixture(scope="module")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> PairStore:
    """Six pairs: two of rendered people, two from a studio, one from the web, one from nowhere."""
    root = tmp_path_factory.mktemp("publish") / "photos"
    names = ("", "", "studio/a.jpg", "studio/b.jpg", "web/c.jpg", "odd|name.jpg")
    with PairWriter(root, {}, 8) as writer:
        writer.write_chunk(0, [replace(pair(n), source=name) for n, name in enumerate(names)], {"leak": 3}, 0.1)
        config = {"source": "photographs", "seed": 5}
        writer.finish(Manifest(kind="pairs", config=config, parents=(Parent("pairs", "/home/me/secret", "e" * 64),)))
    return PairStore.open(root)


@pytest.fixture
def said(tmp_path: Path) -> Path:
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(SAID))
    return path


def header(text: str) -> dict[str, Any]:
    found = re.match(r"---\n(.*?)---\n", text, re.DOTALL)
    assert found is not None
    value: dict[str, Any] = yaml.safe_load(found[1])
    return value


def lines(text: str, start: str) -> list[list[str]]:
    """Cells of the table rows that begin with ``start``."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in rows]


def test_the_card_counts_what_is_there(rendered: PairStore, tmp_path: Path) -> None:
    text = write_card(rendered.root, tmp_path / "README.md")[0].read_text()
    made = records()
    for name, part in (("severity", "severity"), ("kind", "kind")):
        counted = {row[1]: int(row[2]) for row in lines(text, name)}
        values = [str(getattr(record.edit, part)) for record in made]
        assert counted == {value: values.count(value) for value in set(values)}
    splits = [record.split for record in made]
    assert {row[1]: int(row[2]) for row in lines(text, "split")} == {name: splits.count(name) for name in set(splits)}
    assert f"{COUNT} pairs of 6 people" in text
    assert rendered.content_hash in text
    assert (tmp_path / "pairs.png").read_bytes().startswith(b"\x89PNG")
    assert "](pairs.png)" in text
    assert GATE.fingerprint[:16] in text


def test_gate_means_stand_beside_the_papers(rendered: PairStore, tmp_path: Path) -> None:
    text = write_card(rendered.root, tmp_path / "README.md")[0].read_text()
    assert lines(text, "the paper's") == [["the paper's", "0.5315", "0.9827", "0.3446", "0.0109"]]
    ours = lines(text, "this set")[0]
    defects = [record for record in records() if record.edit.kind == "defect"]
    values = [record.gates.values["region_ssim"] for record in defects]
    mean = sum(values) / len(values)
    people = sorted({record.truth.person for record in defects})
    sums = [
        sum(v - mean for v, record in zip(values, defects, strict=True) if record.truth.person == person)
        for person in people
    ]
    spread = sum(value * value for value in sums) * len(people) / (len(people) - 1)
    half = 1.96 * math.sqrt(spread) / len(values)
    assert ours[1] == f"{mean:.4f} [{mean - half:.4f}, {mean + half:.4f}], n = {len(values)}"
    assert ours[3:] == ["not measured", "not measured"]


def test_sources_are_said_or_plainly_not(photographed: PairStore, said: Path, tmp_path: Path) -> None:
    text = write_card(photographed.root, tmp_path / "README.md", statements=said)[0].read_text()
    assert lines(text, "`studio/*`") == [["`studio/*`", "2", "2", "CC-BY-4.0", "written release", "Jane Doe", ""]]
    assert lines(text, "`web/*`") == [["`web/*`", "1", "1", "CC0-1.0", "not stated", "not stated", ""]]
    assert lines(text, "`*`")[0][3:5] == ["not stated", "not stated"]
    assert lines(text, "rendered people")[0][4] == "none needed: nobody was photographed"
    assert "not stated for 2 files, among them `odd|name.jpg`, `web/c.jpg`" in text
    assert "@misc{hands}" in text
    assert "leak" in text
    assert f"Made from: pairs `{'e' * 64}`" in text


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("ODbL-1.0", {"license": "odbl"}),
        ("Studio licence, 2025", {"license": "other", "license_name": "studio-licence-2025"}),
        ("", {"license": "unknown"}),
    ],
)
def test_the_hub_reads_the_header(licence: str, expected: dict[str, str], rendered: PairStore, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    path = tmp_path / "sources.json"
    path.write_text(json.dumps({"dataset": {"licence": licence}}))
    text = write_card(rendered.root, tmp_path / "README.md", statements=path)[0].read_text()
    found = header(text)
    assert {key: found[key] for key in found if key.startswith("license")} == expected
    assert DatasetCard(text).data.get("task_categories") == ["text-to-image"]
    assert found["size_categories"] == ["n<1K"]
    splits = [(one["split"], one["path"]) for one in found["configs"][0]["data_files"]]
    assert splits == [
        ("train", "data/train-*.parquet"), ("validation", "data/val-*.parquet"), ("test", "data/test-*.parquet"),
    ]  # fmt: skip


def test_the_header_loads_the_set(rendered: PairStore, tmp_path: Path) -> None:
    import datasets

    told = push_folder(rendered, tmp_path)
    loaded = datasets.load_dataset(str(told), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 16, "validation": 4, "test": 4}


def push_folder(store: PairStore, tmp_path: Path) -> Path:
    """What a push would upload, as a folder."""
    from shutil import copytree

    copytree(store.root, tmp_path / "set")
    write_card(store.root, tmp_path / "set" / "README.md")
    return tmp_path / "set"


REQUIRED = ("@context", "@type", "conformsTo", "description", "license", "name", "url", "creator", "datePublished")


def test_croissant_has_what_its_specification_requires(photographed: PairStore, said: Path, tmp_path: Path) -> None:
    """Required properties and references of docs/croissant-spec.md, version 1.0."""
    write_card(photographed.root, tmp_path / "README.md", statements=said)
    found = json.loads((tmp_path / "croissant.json").read_text())
    assert all(found[name] for name in (*REQUIRED, "distribution", "recordSet"))
    assert found["@type"] == "sc:Dataset"
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert found["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["datePublished"])
    files = [one for one in found["distribution"] if one["@type"] == "cr:FileObject"]
    assert {one["contentUrl"] for one in files} == {
        path.relative_to(photographed.root).as_posix() for path in photographed.root.glob("data/*")
    }
    for one in files:
        path = photographed.root / one["contentUrl"]
        assert one["sha256"] == digest_file(path)
        assert one["contentSize"] == f"{path.stat().st_size} B"
        assert one["encodingFormat"] == "application/x-parquet"
    sets = {one["@id"] for one in found["distribution"] if one["@type"] == "cr:FileSet"}
    (records_,) = found["recordSet"]
    ids = [one["@id"] for one in (*found["distribution"], records_, *records_["field"])]
    assert len(set(ids)) == len(ids)
    assert records_["key"]["@id"] in ids
    columns = set(photographed.column("uid") and _columns(photographed))
    for field in records_["field"]:
        assert field["@type"] == "cr:Field"
        assert field["dataType"] in {"sc:Text", "sc:Integer", "sc:Float", "sc:ImageObject"}
        assert field["source"]["fileSet"]["@id"] in sets
        assert field["source"]["extract"]["column"] in columns
    assert set(found["@context"]) >= {"@language", "@vocab", "cr", "sc", "dct", "data", "dataType", "recordSet"}


def _columns(store: PairStore) -> list[str]:
    return list(next(iter(store.stream())))


def test_mlcroissant_reads_it(rendered: PairStore, tmp_path: Path) -> None:
    """The reference implementation is too heavy to be asked for; where it is installed, it must read every record."""
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    folder = push_folder(rendered, tmp_path)
    found = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert len(list(found.records(record_set="pairs"))) == COUNT


def test_statements_are_checked_all_at_once() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown key 'extra'.*source 1 needs files.*source 2: unknown key 'license'"
    ):
        parse_statements({"extra": 1, "sources": [{"licence": "x"}, {"files": "*", "license": "x"}]})
    with pytest.raises(ConfigError, match="sources must be a list"):
        parse_statements({"sources": "all"})
    with pytest.raises(ConfigError, match="statements must be an object"):
        parse_statements(["x"])


def test_the_first_pattern_that_fits_counts() -> None:
    one, two = Statement(files="a/*", licence="x"), Statement(files="*", licence="y")
    found = tally(["a/b/c.jpg", "d.jpg", "d.jpg"], (one, two))
    assert [(row.statement, row.sources, row.pairs) for row in found] == [(one, 1, 1), (two, 1, 2)]


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub() as state:
        yield state


def push(server: Hub, store: PairStore, *words: str, token: str = "hf_test") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_ENDPOINT": server.endpoint, "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_TOKEN": token, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-m", "asap.cli", "pairs", "push", str(store.root), "--repo", "me/hands", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_a_push_is_resumed_and_a_second_one_sends_nothing(server: Hub, rendered: PairStore, tmp_path: Path) -> None:
    server.broken = True
    refused = push(server, rendered, "--private")
    assert (refused.returncode, server.files) == (2, {})
    assert "the Hub refused me/hands" in refused.stderr.splitlines()[-1]
    server.broken = False
    done = push(server, rendered, "--private")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["url"].startswith(f"{server.endpoint}/datasets/me/hands")
    assert server.tokens == {"Bearer hf_test"}
    assert server.private
    for path in (*rendered.root.glob("data/*"), *rendered.root.glob("parts/*")):
        assert server.files[path.relative_to(rendered.root).as_posix()] == path.read_bytes()
    assert {"README.md", "croissant.json", "pairs.png", "manifest.json", "config.json"} <= server.files.keys()
    for name, data in server.files.items():
        (tmp_path / "down" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "down" / name).write_bytes(data)
    assert PairStore.open(tmp_path / "down").content_hash == rendered.content_hash
    commits, files = server.asked_for("/commit/main"), dict(server.files)
    assert push(server, rendered, "--private").returncode == 0
    assert server.files == files
    assert server.asked_for("/commit/main") == commits


def test_a_branch_is_made(server: Hub, rendered: PairStore) -> None:
    assert push(server, rendered, "--revision", "v2").returncode == 0
    assert server.asked_for("/branch/v2") == 1
    assert server.asked_for("/commit/v2") == 1


def test_nothing_private_goes_into_a_public_set(server: Hub, rendered: PairStore) -> None:
    server.made = True
    refused = push(server, rendered, "--private")
    assert refused.returncode == 2
    assert "exists and is public" in refused.stderr
    assert not server.files


def test_no_token_no_push(server: Hub, rendered: PairStore) -> None:
    refused = push(server, rendered, token="")
    assert refused.returncode == 2
    assert "needs a token in HF_TOKEN" in refused.stderr
    assert not server.asked


def test_unstated_sources_stay_at_home(photographed: PairStore, said: Path) -> None:
    with pytest.raises(InputError, match=r"not stated for 2 sources, among them odd\|name\.jpg, web/c\.jpg"):
        push_pairs(photographed.root, "me/hands", statements=said, dry_run=True)
    told = push_pairs(photographed.root, "me/hands", statements=said, allow_unstated=True, dry_run=True)
    assert {"README.md", "data/train-00000.parquet"} <= set(told["files"])  # type: ignore[call-overload]
    assert "url" not in told


def test_paths_of_this_machine_stay_at_home(server: Hub, photographed: PairStore) -> None:
    done = push(server, photographed, "--allow-unstated")
    assert done.returncode == 0, done.stderr
    assert not [name for name, data in server.files.items() if b"/home/me" in data]
    assert json.loads(server.files["manifest.json"])["parents"][0]["path"] == "secret"


def test_a_image_that_says_where_it_was_taken_stays_at_home(tmp_path: Path) -> None:
    """GPS in the Exif of a PNG inside a shard: the pixels and so the digests are those of a clean image."""
    with PairWriter(tmp_path / "s", {}, 8) as writer:
        (row,) = encode_rows([pair(0)]).rows
        columns = {**row.columns, "rejected": {"bytes": with_gps(pair(0).rejected, "PNG"), "path": None}}
        writer.write_chunk(0, EncodedChunk((replace(row, columns=columns),)), {}, 0.1)
        writer.finish(Manifest(kind="pairs"))
    with pytest.raises(InputError, match=rf"{pair(0).uid} rejected \(eXIf\)"):
        push_pairs(tmp_path / "s", "me/hands", allow_unstated=True, dry_run=True)


def with_gps(pixels: Any, kind: str) -> bytes:  # noqa: ANN401
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, exif=exif.tobytes())
    return buffer.getvalue()
