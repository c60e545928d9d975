import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import datasets
import pytest

from asap.cli import main
from asap.core.errors import InputError, StoreError, UnknownNameError
from asap.core.manifest import Instrument, Manifest
from asap.review import Decision
from asap.review.ledger import decide_row, undo_row
from asap.stores.pairs import PairStore, PairWriter
from asap.stores.reviews import ReviewJournal
from asap.workflows.datasets.recipe import write_recipe
from asap.workflows.datasets.reviewed import pair_agreement, reviewed_pairs
from tests.review.samples import decision
from tests.stores.samples import chunk_pairs

CHUNK = 8
GATE = Instrument("pair_gate", "ssim gates", "f00d")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Twenty-one pairs in three chunks; every seventh index is missing."""
    root = tmp_path / "pairs"
    with PairWriter(root, {"size": 32}, CHUNK) as writer:
        for number in range(3):
            writer.write_chunk(number, chunk_pairs(number, CHUNK), Counter(leak=1), 0.5)
        writer.finish(Manifest(kind="pairs", config={"namespace": "pairs"}, instruments=(GATE,)))
    return root


def said_by(
    pairs: Path, reviewer: str, words: dict[int, str], *, blind: bool = False, error: str = ""
) -> list[Decision]:
    """Write decisions by position in the store; a = accept, r = reject, u = unsure."""
    store = PairStore.open(pairs)
    uids, digests = store.column("uid"), store.column("digest")
    made = [
        decision(
            uids[position],
            {"a": "accept", "r": "reject", "u": "unsure"}[word],
            error,
            digest=digests[position],
            reviewer=reviewer,
            blind=blind,
        )
        for position, word in words.items()
    ]
    with ReviewJournal(pairs, reviewer) as journal:
        for item in made:
            journal.append(decide_row(item))
    return made


def test_accepted_pairs_are_copied_row_by_row(pairs: Path, tmp_path: Path) -> None:
    said_by(pairs, "anna", {0: "a", 1: "r", 2: "u", 9: "a", 20: "a"})
    found = reviewed_pairs(pairs, tmp_path / "out")
    source, copy = PairStore.open(pairs), PairStore.open(tmp_path / "out")
    assert found["accepted"] == len(copy) == 3
    assert found["by_reason"] == {"not_accepted": 2, "not_reviewed": 16}
    for name in ("uid", "index", "digest", "split", "chosen", "mask", "recipe", "box", "gate_region_ssim", "parents"):
        values = source.column(name)
        assert copy.column(name) == [values[position] for position in (0, 9, 20)]
    assert (copy.row(1).rejected == source.row(9).rejected).all()
    loaded = datasets.load_dataset("parquet", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert sum(len(part) for part in loaded.values()) == 3


def test_the_new_store_names_its_parents_and_who_picked_it(pairs: Path, tmp_path: Path) -> None:
    said_by(pairs, "anna", {0: "a"})
    reviewed_pairs(pairs, tmp_path / "out", policy="any")
    manifest = Manifest.read(tmp_path / "out" / "manifest.json")
    assert [(parent.kind, Path(parent.path).name) for parent in manifest.parents] == [
        ("pairs", "pairs"),
        ("reviews", "pairs.reviews"),
    ]
    assert manifest.parents[0].content_hash == PairStore.open(pairs).content_hash
    assert manifest.instruments[0] == GATE
    assert (manifest.instruments[1].role, manifest.instruments[1].name) == ("pair_gate", "people (any of 1)")
    assert manifest.config["namespace"] == "pairs"
    with pytest.raises(InputError, match="made by review; only sets that were built"):
        write_recipe(tmp_path / "out", tmp_path / "recipe.json")


@pytest.mark.parametrize(("policy", "kept"), [("any", [0, 1, 2, 3, 4]), ("all", [0, 4]), ("majority", [0, 2, 4])])
def test_policies_over_several_reviewers(pairs: Path, tmp_path: Path, policy: str, kept: list[int]) -> None:
    said_by(pairs, "anna", {0: "a", 1: "a", 2: "a", 3: "a", 4: "a", 5: "r"})
    said_by(pairs, "ben", {0: "a", 1: "r", 2: "a", 3: "u"})
    said_by(pairs, "cleo", {0: "a", 1: "r", 2: "u", 3: "u"})
    reviewed_pairs(pairs, tmp_path / "out", policy=policy)
    uids = PairStore.open(pairs).column("uid")
    assert PairStore.open(tmp_path / "out").column("uid") == [uids[position] for position in kept]


def test_undone_and_stale_decisions_do_not_count(pairs: Path, tmp_path: Path) -> None:
    made = said_by(pairs, "anna", {0: "a", 1: "a"})
    with ReviewJournal(pairs, "anna") as journal:
        journal.append(undo_row(1, made[1], "t"))
        journal.append(decide_row(replace(made[1], uid=PairStore.open(pairs).column("uid")[2])))
        journal.append(decide_row(replace(made[1], uid="gone")))
    assert reviewed_pairs(pairs, tmp_path / "out")["accepted"] == 1
    assert pair_agreement(pairs)["reviewers"]["anna"]["stale"] == 2


def test_the_same_again_is_the_same_and_other_decisions_are_refused(pairs: Path, tmp_path: Path) -> None:
    said_by(pairs, "anna", {0: "a", 12: "a"})
    first = reviewed_pairs(pairs, tmp_path / "out")
    (tmp_path / "out" / "parts" / "00001.json").unlink()
    (tmp_path / "out" / "manifest.json").unlink()
    assert reviewed_pairs(pairs, tmp_path / "out") == first
    said_by(pairs, "anna", {1: "a"})
    with pytest.raises(InputError, match="started with other settings"):
        reviewed_pairs(pairs, tmp_path / "out")
    assert reviewed_pairs(pairs, tmp_path / "more")["accepted"] == 3


def test_reviewing_what_was_kept_counts_the_old_decisions_only_there(pairs: Path, tmp_path: Path) -> None:
    said_by(pairs, "anna", {0: "a", 1: "a"})
    reviewed_pairs(pairs, tmp_path / "out")
    with pytest.raises(InputError, match="has no reviews"):
        reviewed_pairs(tmp_path / "out", tmp_path / "again")
    said_by(tmp_path / "out", "ben", {1: "a"})
    assert reviewed_pairs(tmp_path / "out", tmp_path / "again")["accepted"] == 1


def test_what_cannot_be_done_is_said(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no reviews; .*asap pairs review"):
        reviewed_pairs(pairs, tmp_path / "out")
    said_by(pairs, "anna", {0: "r"})
    with pytest.raises(StoreError, match="no pair was accepted"):
        reviewed_pairs(pairs, tmp_path / "out")
    with pytest.raises(UnknownNameError, match="unknown policy"):
        reviewed_pairs(pairs, tmp_path / "out", policy="none")
    with pytest.raises(InputError, match="must differ from the folder"):
        reviewed_pairs(pairs, pairs)


def test_agreement_of_every_two_reviewers(pairs: Path) -> None:
    said_by(pairs, "anna", dict.fromkeys(range(10), "a") | dict.fromkeys(range(10, 20), "r"), error="fused")
    said_by(pairs, "ben", dict.fromkeys(range(9), "a") | dict.fromkeys(range(9, 20), "r"), blind=True, error="leak")
    said_by(pairs, "cleo", {0: "u"})
    found = pair_agreement(pairs)
    assert found["pairs"] == 21
    assert found["reviewers"]["anna"] == {
        "decided": 20,
        "accept": 10,
        "reject": 10,
        "unsure": 0,
        "errors": {"fused": 20},
        "blind": 0,
        "median_seconds": 1.0,
        "stale": 0,
    }
    blocks = {tuple(block["reviewers"]): block for block in found["between"]}
    assert set(blocks) == {("anna", "ben"), ("anna", "cleo"), ("ben", "cleo")}
    both = blocks["anna", "ben"]
    # p_o = 19/20, p_e = 10/20 * 9/20 + 10/20 * 11/20 = 1/2
    assert both["decision"]["value"] == pytest.approx(0.9)
    assert both["decision"]["low"] < 0.9 <= both["decision"]["high"]
    assert both["labels"]["accept"]["value"] == pytest.approx(0.9)
    assert both["labels"]["unsure"]["value"] is None
    assert both["error"]["value"] == 0
    assert both["blind"] == 20
    assert blocks["anna", "cleo"]["decision"]["n"] == 1


def test_a_journal_of_another_version_is_named(pairs: Path) -> None:
    with ReviewJournal(pairs, "anna") as journal:
        journal.append({"verdict": "fine"})
    with pytest.raises(InputError, match=r"reviews by anna in .*pairs\.reviews: line 0"):
        pair_agreement(pairs)


def test_the_commands(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said_by(pairs, "anna", {0: "a", 1: "r", 2: "a"}, error="leak")
    said_by(pairs, "ben", {0: "a", 1: "r", 2: "r"}, error="leak")
    assert main(["pairs", "agreement", str(pairs)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[printed.index("anna") + 1].split() == ["decided", "3"]
    lines = dict(line.split("  ", 1) for line in printed if "  " in line)
    assert lines["anna and ben: decision"].strip().startswith("kappa 0.400 [")
    assert lines["anna and ben: error type"].strip() == "kappa unknown, n 3 (one answer throughout)"
    assert lines["anna and ben: blind"].strip() == "0 of 3"
    assert main(["pairs", "agreement", str(pairs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["between"][0]["decision"]["n"] == 3
    assert main(["pairs", "reviewed", str(pairs), "--out", str(tmp_path / "out"), "--policy", "all"]) == 0
    assert "accepted" in capsys.readouterr().out
    assert len(PairStore.open(tmp_path / "out")) == 1
