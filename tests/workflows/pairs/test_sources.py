"""Which files of a folder are photographs, and what is said of them."""

from pathlib import Path

import pytest

from asap.core.errors import InputError
from asap.workflows.pairs.sources import caption_of, list_sources


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_files_are_sorted_and_sidecars_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "b.jpg", "a/z.png", "a/.hidden.png", ".git/x.jpg", "b.txt", "b.mask.png", "b.hand.left.mask.png")
    fill(tmp_path, "noending", "wrong.pdf")
    sources = list_sources(tmp_path)
    assert [source.name for source in sources] == ["a/z.png", "b.jpg", "noending", "wrong.pdf"]
    assert [source.number for source in sources] == [0, 1, 2, 3]


def test_a_table_of_captions_wins_over_text_files(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "a.txt").write_text("from a file")
    (tmp_path / "b.txt").write_text("from a file")
    (tmp_path / "metadata.jsonl").write_text(
        '{"file_name": "a.jpg", "text": "from a table", "category": "full_body"}\n\n'
    )
    sources = list_sources(tmp_path)
    assert [caption_of(source) for source in sources] == ["from a table", "from a file", ""]
    assert [source.category for source in sources] == ["full_body", "", ""]


def test_faults_have_one_line_each(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is none; name an existing folder"):
        list_sources(tmp_path / "missing")
    with pytest.raises(InputError, match="holds no file"):
        list_sources(tmp_path)
    fill(tmp_path, "a.jpg")
    (tmp_path / "metadata.jsonl").write_text('{"text": "no name"}\n')
    with pytest.raises(InputError, match=r"line 1 of .*file_name"):
        list_sources(tmp_path)
