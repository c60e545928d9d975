import os
from pathlib import Path

import pytest

from asap.core.errors import InputError, StoreError
from asap.stores.reviews import ReviewJournal, read_reviews, reviews_folder


def test_decisions_come_back_and_lie_beside_the_pairs(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs"
    with ReviewJournal(pairs, "anna") as journal:
        journal.append({"uid": "a"})
        journal.append({"uid": "b"})
    with ReviewJournal(pairs, "ben") as journal:
        journal.append({"uid": "c"})
    with ReviewJournal(pairs, "anna") as journal:
        assert journal.read() == [{"uid": "a"}, {"uid": "b"}]
        journal.append({"uid": "d"})
        assert read_reviews(pairs) == {"anna": [{"uid": "a"}, {"uid": "b"}, {"uid": "d"}], "ben": [{"uid": "c"}]}
    assert not pairs.exists()
    assert reviews_folder(pairs) == tmp_path / "pairs.reviews"
    assert sorted(path.name for path in (tmp_path / "pairs.reviews" / "anna").iterdir()) == ["decisions.jsonl"]


def test_nobody_has_reviewed(tmp_path: Path) -> None:
    assert read_reviews(tmp_path / "pairs") == {}


def test_a_link_or_a_roundabout_path_leads_to_the_same_reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pairs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "pairs")
    monkeypatch.chdir(tmp_path / "pairs")
    wanted = (tmp_path / "pairs.reviews").resolve()
    assert reviews_folder(".") == reviews_folder(tmp_path / "link") == reviews_folder("../pairs/") == wanted


def test_one_server_for_each_reviewer(tmp_path: Path) -> None:
    with ReviewJournal(tmp_path / "pairs", "anna"):
        with pytest.raises(StoreError, match="is being written by process"):
            ReviewJournal(tmp_path / "pairs", "anna")
        with ReviewJournal(tmp_path / "pairs", "ben"):
            pass
    with ReviewJournal(tmp_path / "pairs", "anna"):
        pass


@pytest.mark.parametrize("tail", [b'{"uid": "b', b'{"uid": "b"}', b"\x00\x00"])
def test_a_line_cut_short_is_left_out_and_then_dropped(tmp_path: Path, tail: bytes) -> None:
    with ReviewJournal(tmp_path / "pairs", "anna") as journal:
        journal.append({"uid": "a"})
    path = tmp_path / "pairs.reviews" / "anna" / "decisions.jsonl"
    path.write_bytes(path.read_bytes() + tail)
    assert read_reviews(tmp_path / "pairs") == {"anna": [{"uid": "a"}]}
    assert path.read_bytes().endswith(tail), "reading changes nothing"
    with ReviewJournal(tmp_path / "pairs", "anna") as journal:
        assert journal.read() == [{"uid": "a"}]
        journal.append({"uid": "c"})
    assert read_reviews(tmp_path / "pairs") == {"anna": [{"uid": "a"}, {"uid": "c"}]}


def test_a_damaged_line_is_not_passed_over(tmp_path: Path) -> None:
    path = reviews_folder(tmp_path / "pairs") / "anna" / "decisions.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"uid": "a"}\n{"uid\n{"uid": "c"}\n')
    with pytest.raises(StoreError, match="corrupt at line 2"):
        read_reviews(tmp_path / "pairs")
    with pytest.raises(StoreError, match="corrupt at line 2"):
        ReviewJournal(tmp_path / "pairs", "anna")
    assert [item.name for item in path.parent.iterdir()] == ["decisions.jsonl"], "the lock was given back"


@pytest.mark.parametrize("name", ["", "Anna", "an na", "../anna", "anna/ben", ".anna", "ånna", "a" * 65, "anna\n"])
def test_a_name_that_cannot_name_a_folder_everywhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="lower-case letters"):
        ReviewJournal(tmp_path / "pairs", name)
    assert list(tmp_path.iterdir()) == []


def test_a_line_is_on_disk_before_append_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, sync = [], os.fsync

    def watched(handle: int) -> None:
        sync(handle)
        synced.append(os.readlink(f"/proc/self/fd/{handle}") if os.path.isdir("/proc/self/fd") else "decisions.jsonl")

    monkeypatch.setattr(os, "fsync", watched)
    with ReviewJournal(tmp_path / "pairs", "anna") as journal:
        synced.clear()
        journal.append({"uid": "a"})
        assert [Path(name).name for name in synced] == ["decisions.jsonl"]


def test_after_a_refusal_no_line_follows_one_that_may_be_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with ReviewJournal(tmp_path / "pairs", "anna") as journal:
        journal.append({"uid": "a"})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuse)
            with pytest.raises(InputError, match="No space left"):
                journal.append({"uid": "b"})
        with pytest.raises(InputError, match="could not be written before"):
            journal.append({"uid": "c"})
        assert journal.read() == [{"uid": "a"}]
