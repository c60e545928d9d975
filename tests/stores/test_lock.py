import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asap.core.errors import InputError, StoreError
from asap.stores.lock import NAME, WriterLock


def test_a_living_writer_keeps_others_out(tmp_path: Path) -> None:
    with WriterLock(tmp_path):
        with pytest.raises(StoreError, match=f"being written by process {os.getpid()}"):
            WriterLock(tmp_path)
        assert (tmp_path / NAME).exists()
    assert not (tmp_path / NAME).exists()
    WriterLock(tmp_path).release()


def test_a_dead_writer_is_taken_over(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from asap.stores.lock import WriterLock; WriterLock(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": "src"})
    assert (tmp_path / NAME).exists()
    with WriterLock(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "{", '{"pid": "x"}', '{"pid": 1, "started": 0, "host": "here"}'])
def test_a_torn_lock_or_a_reused_process_id_is_stale(tmp_path: Path, text: str) -> None:
    import socket

    (tmp_path / NAME).write_text(text.replace("here", socket.gethostname()))
    WriterLock(tmp_path).release()


def test_a_lock_of_another_machine_is_respected(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"pid": 1, "started": 0, "host": "elsewhere"}')
    with pytest.raises(StoreError, match="1 on elsewhere"):
        WriterLock(tmp_path)


def test_an_unwritable_folder_is_the_callers_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        WriterLock(tmp_path / "file" / "store")


def test_release_leaves_a_lock_that_was_taken_over(tmp_path: Path) -> None:
    lock = WriterLock(tmp_path)
    (tmp_path / NAME).write_text('{"pid": 1}')
    lock.release()
    assert (tmp_path / NAME).exists()
