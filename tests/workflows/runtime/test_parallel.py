"""Both engines give every result once and in order, and lose nothing when a worker is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asap.core.errors import AsapError, UnknownNameError
from asap.workflows.runtime.parallel import ENGINES, in_order, processes
from tests.workflows.jobs import always_deadly, once_deadly, square, variable

RAY = pytest.param("ray", marks=pytest.mark.slow)
ENGINE = pytest.mark.parametrize("engine", ["serial", "pool", RAY])


def test_all_engines_are_tested() -> None:
    assert set(ENGINES) == {"serial", "pool", "ray"}


@ENGINE
def test_results_come_in_order(engine: str) -> None:
    assert list(in_order(engine, square, range(9), 2)) == [(i, i * i) for i in range(9)]


@ENGINE
def test_nothing_to_do_gives_nothing(engine: str) -> None:
    assert list(in_order(engine, square, [], 2)) == []


@pytest.mark.parametrize("engine", ["pool", RAY])  # serial works in the process of the tests
def test_a_killed_worker_costs_no_result_and_doubles_none(engine: str, tmp_path: Path) -> None:
    items = [(str(tmp_path), number) for number in range(12)]
    found = list(in_order(engine, once_deadly, items, 2))
    assert (tmp_path / "killed").exists()
    assert [(item[1], result) for item, result in found] == [(n, n * 10) for n in range(12)]


def test_an_item_that_kills_every_worker_is_named() -> None:
    with pytest.raises(AsapError, match="died 3 times at item 3 "):
        list(in_order("pool", always_deadly, range(5), 1))


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="pool, ray, serial"):
        in_order("spark", square, [1], 1)


def test_a_process_has_one_thread_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    monkeypatch.delenv(names[0], raising=False)
    monkeypatch.setenv(names[1], "3")
    with processes(1) as pool:
        assert list(pool.map(variable, names)) == ["1", "3"]
    assert [os.environ.get(name) for name in names] == [None, "3"]


def test_workers_end_with_a_parent_that_was_killed() -> None:
    text = (
        "import time\n"
        "from asap.workflows.runtime.parallel import processes\n"
        "from tests.workflows.jobs import own_number\n"
        "if __name__ == '__main__':\n"
        "    with processes(1) as pool:\n"
        "        print(pool.submit(own_number, 0).result(), flush=True)\n"
        "        time.sleep(60)\n"
    )
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    for _ in range(200):
        if not _runs(worker):
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent by 10 s")


def _runs(process: int) -> bool:
    """Whether a process with that number is there and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
