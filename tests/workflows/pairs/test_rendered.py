"""The pair stage from outside: what is built, what a kill costs, what is refused."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asap.core.errors import ConfigError, InputError
from asap.stores.pairs import PairStore
from asap.workflows.datasets.contact_sheet import show_pairs
from asap.workflows.datasets.stats import pair_stats
from asap.workflows.pairs.builder import build_store
from asap.workflows.pairs.candidate import Candidate, Refusal
from asap.workflows.pairs.rendered import STUDIO_AREA, Rendered
from tests.workflows.pairs.toys import ENVIRONMENT, SmallChunks

COUNT = 20
_CODE = """
if __name__ == "__main__":
    from pathlib import Path
    from asap.workflows.pairs.builder import build_store
    from tests.workflows.pairs.toys import SmallChunks
    build_store(Path({out!r}), SmallChunks(count={count}, size=64), workers=1)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pairs") / "store"
    build_store(out, SmallChunks(count=COUNT, size=64), workers=1)
    return out


def test_pairs_differ_inside_their_mask_only(built: Path) -> None:
    store = PairStore.open(built)
    assert len(store) == COUNT
    for row in store.rows(range(COUNT)):
        outside = row.mask == 0
        assert np.array_equal(row.chosen[outside], row.rejected[outside])
        if row.kind == "null_equal":
            assert np.array_equal(row.chosen, row.rejected)
        else:
            assert not np.array_equal(row.chosen, row.rejected)


def test_stats_have_the_names_that_others_rely_on(built: Path) -> None:
    found = pair_stats(built)
    assert found["accepted"] == COUNT
    assert found["max_abs_diff_outside"] == 0
    assert found["background_ssim_mean"] >= 0.97
    for name in ("by_part", "by_operation", "by_severity", "by_category"):
        assert sum(found[name].values()) == COUNT
    assert sum(found["by_reason"].values()) == found["rejected"]


def test_no_person_is_in_two_splits(built: Path) -> None:
    store = PairStore.open(built)
    splits: dict[str, set[str]] = {}
    for person, split in zip(store.column("person"), store.column("split"), strict=True):
        splits.setdefault(person, set()).add(split)
    assert all(len(found) == 1 for found in splits.values())


def test_a_killed_build_ends_with_the_same_hash(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    code = _CODE.format(out=str(out), count=COUNT)
    script = tmp_path / "build.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script)], env=ENVIRONMENT, start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("parts/*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.json").exists(), "killed too late to test anything"
    build_store(out, SmallChunks(count=COUNT, size=64), workers=1)
    assert pair_stats(out)["content_hash"] == pair_stats(built)["content_hash"]


def test_another_count_in_the_same_folder_is_refused(built: Path) -> None:
    with pytest.raises(InputError, match="count"):
        build_store(built, SmallChunks(count=COUNT + 1, size=64))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"count": 1, "size": 100}, "size must be one of 64, 128, 256, got 100"),
        ({"count": 1, "null_share": 2.0}, "null_share must be at least 0 and at most 1, got 2.0"),
        ({"count": 1, "operations": ("melted",)}, "operations must be a list, each one of extra"),
        ({"count": 1, "identity_pool": "mini"}, "identity_pool must be one of pairs, judge, rank"),
        ({"count": 1, "scene": "beach"}, "scene must be one of varied, studio, clear, got 'beach'"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Rendered(**settings)


def test_pairs_of_the_studio_are_larger_edits_before_plain_backdrops(tmp_path: Path) -> None:
    build_store(tmp_path / "studio", Rendered(count=COUNT, size=64, scene="studio"), workers=1)
    store = PairStore.open(tmp_path / "studio")
    assert store.manifest.config["scene"] == "studio"
    for row in store.rows(range(COUNT)):
        assert row.attributes["backdrop"] == "plain"
        if row.kind == "defect":
            changed = np.abs(row.chosen.astype(int) - row.rejected).max(axis=-1) > 0
            assert changed.mean() >= STUDIO_AREA


def test_contact_sheet_is_a_png(built: Path, tmp_path: Path) -> None:
    sheet = show_pairs(built, tmp_path / "sheet.png", count=6)
    assert sheet.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"\.png"):
        show_pairs(built, tmp_path / "sheet.jpg")


def test_a_person_without_a_part_for_the_operation_is_refused() -> None:
    """A hand or foot can be on the wrong side, a portrait shows neither."""
    producer = Rendered(count=1, size=64, operations=("swapped_side",), null_share=0.0)
    found = producer.propose(range(6), 0)
    refused = [one for one in found if isinstance(one, Refusal) and one.reason == "no_operation_fits"]
    assert all(one.final for one in refused)
    made = [one for one in found if isinstance(one, Candidate)]
    assert refused
    assert {one.edit.operation for one in made} == {"swapped_side"}
