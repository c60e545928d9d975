"""The one builder, with a toy producer: what is proposed, refused, written, and built again after a kill."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from asap.core.errors import ConfigError, InputError, UnknownNameError
from asap.core.pairs import split_of
from asap.stores.pairs import PairStore
from asap.workflows.pairs import builder
from asap.workflows.pairs.builder import build_store
from asap.workflows.runtime.parallel import in_order
from tests.workflows.pairs.toys import ENVIRONMENT, Copies, Deadly, Squares

COUNT = 50


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("squares") / "store"
    build_store(out, Squares(count=COUNT), engine="serial")
    return out


def reasons(store: Path) -> Counter[str]:
    parts = [json.loads(path.read_text()) for path in (store / "parts").iterdir()]
    return sum((Counter(part["rejected"]) for part in parts), Counter())


def test_a_producer_of_twenty_lines_makes_a_store(built: Path) -> None:
    store = PairStore.open(built)
    assert len(store) == COUNT
    assert store.manifest.config["source"] == "squares"
    for row in store.rows(range(COUNT)):
        inside = row.mask > 0
        assert np.array_equal(row.chosen[~inside], row.rejected[~inside])
        assert inside[16:48, 16:48].all()
        assert row.split == split_of(0, row.person)
        assert row.recipe["attempt"] == (row.index + 1) % 2
        assert row.recipe["index"] == row.index
    last = max(row.index for row in store.rows(range(COUNT)))
    assert reasons(built) == {"no_square": (last + 1) // 5, "area_too_small": last // 2 + 1 - (last + 6) // 10}


def test_engines_and_workers_do_not_matter(built: Path, tmp_path: Path) -> None:
    build_store(tmp_path / "pool", Squares(count=COUNT), workers=2)
    for name in ("config.json", "manifest.json"):
        mine, theirs = (json.loads((folder / name).read_text()) for folder in (tmp_path / "pool", built))
        assert {**mine, "notes": None} == {**theirs, "notes": None}
    assert PairStore.open(tmp_path / "pool").content_hash == PairStore.open(built).content_hash
    assert reasons(tmp_path / "pool") == reasons(built)


@pytest.mark.slow
def test_a_cluster_builds_the_same(built: Path, tmp_path: Path) -> None:
    assert build_store(tmp_path / "ray", Squares(count=COUNT), engine="ray", workers=2) == hash_of(built)


def hash_of(store: Path) -> str:
    return PairStore.open(store).content_hash


def test_a_killed_worker_changes_nothing(built: Path, tmp_path: Path) -> None:
    deadly = Deadly(count=COUNT, mark=tmp_path / "mark")
    assert build_store(tmp_path / "store", deadly, workers=2) == hash_of(built)
    assert (tmp_path / "mark").exists()


def test_a_killed_build_continues(built: Path, tmp_path: Path) -> None:
    mark, out = tmp_path / "mark", tmp_path / "store"
    code = (
        "from pathlib import Path; from asap.workflows.pairs.builder import build_store; "
        "from tests.workflows.pairs.toys import Deadly; "
        f"build_store(Path({str(out)!r}), Deadly(count={COUNT}, mark=Path({str(mark)!r})), engine='serial')"
    )
    killed = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, stderr=subprocess.DEVNULL, check=False)
    assert killed.returncode == -9
    assert len(list((out / "parts").iterdir())) == 2, "killed in the third chunk"
    assert not (out / "manifest.json").exists()
    assert build_store(out, Deadly(count=COUNT, mark=mark), engine="serial") == hash_of(built)


def test_a_damaged_chunk_is_built_again(tmp_path: Path) -> None:
    whole = build_store(tmp_path / "store", Copies(count=COUNT), engine="serial")
    shard = sorted((tmp_path / "store" / "data").glob("train-00001*"))[0]
    shard.write_bytes(shard.read_bytes()[:-9])
    assert build_store(tmp_path / "store", Copies(count=COUNT), engine="serial") == whole


def test_near_duplicates_are_refused_in_the_order_of_indices(tmp_path: Path) -> None:
    build_store(tmp_path / "store", Copies(count=COUNT), engine="serial")
    store = PairStore.open(tmp_path / "store")
    assert not {6, 16, 26} & {row.index for row in store.rows(range(COUNT))}
    assert reasons(tmp_path / "store")["near_duplicate"] >= 3


def test_no_more_batches_run_than_acceptance_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def spy(engine: str, function: object, items: Iterator[range], workers: int, **how: object) -> Iterator[object]:
        real = (begun.append(item) or item for item in items)  # type: ignore[func-returns-value]
        return in_order(engine, function, real, workers, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(builder, "in_order", spy)
    build_store(tmp_path / "store", Squares(count=2), workers=3)
    assert begun == [range(4)]


def test_settings_that_give_no_pairs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Squares, "most", 1)
    with pytest.raises(InputError, match=r"10 images gave 8 pairs of 10 \(refused most often: area_too_small 4, no_sq"):
        build_store(tmp_path / "store", Squares(count=10), engine="serial")


def test_another_producer_in_the_same_folder_is_refused(built: Path) -> None:
    with pytest.raises(InputError, match="seed is 0, not 1"):
        build_store(built, Squares(count=COUNT, seed=1))


def test_wrong_settings_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="serial"):
        build_store(tmp_path / "store", Squares(count=1), engine="spark")
    with pytest.raises(ConfigError, match="count must be a whole number"):
        Squares(count="many")  # type: ignore[arg-type]
