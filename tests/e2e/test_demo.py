"""The whole loop at the smallest size that still makes every file."""

import json
from pathlib import Path

import pytest

from asap.stores.generations import GenerationStore
from asap.stores.ratings import RatingJournal
from asap.workflows.results.demo import DemoSettings, demo
from asap.workflows.results.reproduce import ReproduceSettings, mini


@pytest.mark.slow
def test_the_demo_ends_with_a_report_and_goes_on_when_run_again(tmp_path: Path) -> None:
    settings = DemoSettings(pairs=60, steps=2, batch_size=2, limit=1, workers=1)
    page = demo(tmp_path / "demo", settings)
    first = page.read_bytes()
    found = json.loads((page.parent / "compare.json").read_text())
    models = found["models"]
    assert set(models) == {"base", settings.method}
    assert all(row["aer"]["n"] == 5 and row["evidence"]["aer"]["headline"] is None for row in models.values())
    assert "is calibrated on edited renders at 64 px, scene studio" in found["headline"]
    assert demo(tmp_path / "demo", settings) == page
    assert len(page.read_bytes()) == len(first)
    with RatingJournal(tmp_path / "demo" / "ratings", "synthetic") as journal:  # nobody looked at these images
        for row in GenerationStore.open(tmp_path / "demo" / "base").rows:
            journal.append({"digest": row.digest, "answer": "wrong", "parts": [], "seconds": 0.0, "time": ""})
    demo(tmp_path / "demo", settings)
    rated = json.loads((page.parent / "compare.json").read_text())["models"]["base"]["evidence"]
    assert (rated["n_rated"], rated["aer"]["headline"], rated["aer"]["value"]) == (5, "rated", 1.0)


@pytest.mark.slow
def test_the_reproduction_writes_the_names_that_others_rely_on(tmp_path: Path) -> None:
    settings = ReproduceSettings(
        pairs=64,
        own=16,
        ranked=8,
        methods=("asap", "asap+own", "asap+round1"),
        steps=2,
        snapshots=(2,),
        seeds=(0,),
        batch_size=2,
    )
    found = mini(tmp_path / "docs", work=tmp_path / "work", settings=settings)
    stored = json.loads((tmp_path / "docs" / "results.json").read_text())
    changes = stored["equal_drift"]["asap"]["change"]
    assert set(changes) == set(stored["sweep"]) == {"asap", "asap+own", "asap+round1"}
    assert stored["mini"]["best"] == min(changes, key=lambda name: changes[name]["value"])
    names = {"aer", "ci", "aer_corrected", "n", "rsi", "win", "tie", "lose", "drift", "relative_reduction", "paired_ci"}
    assert names | {"seconds", "steps"} <= set(stored["mini"]["asap"])
    assert found["mini"]["base"]["n"] == 120
    assert (tmp_path / "docs" / "results.md").read_text().startswith("# Results")
