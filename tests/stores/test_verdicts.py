from pathlib import Path

import pytest

from asap.core.errors import InputError, StoreError
from asap.core.manifest import Manifest
from asap.stores.verdicts import VerdictRow, VerdictStore, VerdictWriter

CONFIG = {"judge": "learned"}
ROWS = [
    VerdictRow(prompt_id="a", seed=0, category="full_body", fails=True, parts={"hand": {"visible": 0.9, "wrong": 0.8}}),
    VerdictRow(prompt_id="a", seed=1, category="full_body", fails=False, attributes={"skin": "dark"}),
    VerdictRow(prompt_id="b", seed=0, category="full_body", fails=None, extra={"why": "no person"}),
]


def fill(root: Path, rows: list[VerdictRow]) -> str:
    with VerdictWriter(root, CONFIG) as writer:
        for row in rows:
            if row.key not in writer.done():
                writer.add(row)
        return writer.finish(Manifest(kind="verdicts", config=CONFIG))


def test_verdicts_come_back_sorted_and_unscored_is_kept(tmp_path: Path) -> None:
    whole = fill(tmp_path, ROWS[::-1])
    store = VerdictStore.open(tmp_path)
    assert store.rows == ROWS
    assert store.manifest.notes["unscored"] == 1
    assert store.content_hash == whole == fill(tmp_path / "again", ROWS)


def test_resume_after_a_torn_row(tmp_path: Path) -> None:
    whole = fill(tmp_path / "whole", ROWS)
    fill(tmp_path / "torn", ROWS[:1])
    with (tmp_path / "torn" / "verdicts.jsonl").open("a") as file:
        file.write('{"prompt_id": "a", "se')
    assert fill(tmp_path / "torn", ROWS) == whole


def test_bad_stores_and_calls(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not a finished verdict store"):
        VerdictStore.open(tmp_path / "none")
    with VerdictWriter(tmp_path, CONFIG) as writer:
        with pytest.raises(StoreError, match="no verdicts"):
            writer.finish(Manifest(kind="verdicts"))
        writer.add(ROWS[0])
        with pytest.raises(InputError, match="already"):
            writer.add(ROWS[0])
    with pytest.raises(InputError, match="judge is"):
        VerdictWriter(tmp_path, {"judge": "other"})
    fill(tmp_path, ROWS)
    rows = tmp_path / "verdicts.jsonl"
    rows.write_text(rows.read_text().replace("true", "false", 1))
    with pytest.raises(StoreError, match="does not match its manifest"):
        VerdictStore.open(tmp_path)
