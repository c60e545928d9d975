"""Two processes on one machine (gloo, CPU) against one: the same weights, one writer, and any of them may be killed."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import Tensor

from asap.align.trainer import Metrics, Trainer
from asap.core.errors import InputError
from asap.stores.trainlog import read_log
from asap.workflows.training.run import train
from tests.backbones.tiny import sdxl
from tests.workflows.training.test_config import ROOT
from tests.workflows.training.test_crops import store as framed
from tests.workflows.training.test_run import store

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are forked, so that each need not import torch"
)
CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("processes") / "pairs", 12)


def settings(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    how = {"steps": 20, "batch_size": 2, "lora_rank": 2, "lr": 1e-5, "precision": "fp32", "checkpoint_every": 4}
    return {**how, **changed}


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def forbid_writing_below(folder: Path) -> Callable[[str, tuple[Any, ...]], None]:
    """A hook that ends the process with code 9 when it makes or overwrites a file there."""

    def hook(event: str, details: tuple[Any, ...]) -> None:
        writing = event == "open" and isinstance(details[1], str) and set(details[1]) & set("wax")
        making = event == "os.mkdir" and not os.path.exists(details[0])
        if (writing or making or event in ("os.rename", "os.remove")) and str(details[0]).startswith(str(folder)):
            os.write(2, f"written: {event} {details[0]}\n".encode())
            os._exit(9)

    return hook


def nothing() -> None:
    """What a process does before it begins."""


def one_of_several(
    rank: int,
    port: int,
    pairs: Path,
    out: Path,
    how: dict[str, Any],
    pace: float,
    before: Callable[[], None],
) -> None:
    """The life of one process; its exit code is what the command's would be."""
    torch.set_num_threads(1)
    before()
    where = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in where.items()}, MASTER_ADDR="127.0.0.1", OMP_NUM_THREADS="1")
    AcceleratorState._reset_state(reset_partial_state=True)
    if rank:
        sys.addaudithook(forbid_writing_below(pairs.parent))
    original = Trainer.backward

    def paced(self: Trainer, step: int, scale: float = 1.0) -> Metrics:
        time.sleep(pace)
        return original(self, step, scale)

    Trainer.backward = paced  # type: ignore[method-assign]
    try:
        train(how.pop("model", "tiny"), pairs, out, **how)
    except InputError as error:
        print(f"process {rank}: {error.line}", flush=True)
        os._exit(error.exit_code)
    except SystemExit as ending:
        os._exit(ending.code if isinstance(ending.code, int) else 1)
    os._exit(0)


def start_two(
    pairs: Path,
    out: Path,
    how: dict[str, Any],
    pace: float = 0.0,
    before: Callable[[], None] = nothing,
) -> list[Any]:
    port = free_port()
    given = (port, pairs, out, how, pace, before)
    team = [CONTEXT.Process(target=one_of_several, args=(rank, *given)) for rank in (0, 1)]
    for process in team:
        process.start()
    return team


def codes(team: list[Any]) -> list[int | None]:
    for process in team:
        process.join(300)
        process.kill()
        process.join()
    return [process.exitcode for process in team]


def trained(out: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(str(out / "adapter" / "pytorch_lora_weights.safetensors"))
    return found


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor], atol: float) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], atol=atol, rtol=0, msg=name)


def kill_and_go_on(
    start: Callable[..., list[Any]],
    pairs: Path,
    out: Path,
    how: dict[str, Any],
    victim: int,
    unkilled: dict[str, Tensor],
) -> None:
    """Kill one of two processes at some step, then the other, and start both again: the weights are ``unkilled``."""
    last = time.time_ns() % 14 + 4  # another step each time the test is run
    team = start(pairs, out, how, pace=0.05)
    while len(read_log(out / "log.jsonl")) < last and all(process.is_alive() for process in team):
        time.sleep(0.02)
    for process in (team[victim], team[1 - victim]):  # as a launcher does with the others
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert team[victim].exitcode == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    assert codes(start(pairs, out, how)) == [0, 0]
    assert [row["step"] for row in read_log(out / "log.jsonl")] == list(range(20))
    assert_same(trained(out), unkilled, 0)


def spread_and_go_on(
    start: Callable[..., list[Any]],
    pairs: Path,
    out: Path,
    how: dict[str, Any],
    spread_first: bool,
    unkilled: dict[str, Tensor],
) -> None:
    """Nine steps by two processes and the rest by one, or the other way round: the weights are ``unkilled``."""

    def alone(asked: dict[str, Any]) -> None:
        train("tiny", pairs, out, **{**asked, "global_batch": 4})

    def together(asked: dict[str, Any]) -> None:
        assert codes(start(pairs, out, asked)) == [0, 0]

    first, second = (together, alone) if spread_first else (alone, together)
    first({**how, "steps": 9})
    second({**how, "steps": 20})
    assert_same(trained(out), unkilled, 1e-5)


def test_two_processes_are_one_with_the_doubled_batch(pairs: Path) -> None:
    """And the second one has written nothing: ``one_of_several`` would end with another code."""
    runs = pairs.parent
    assert codes(start_two(pairs, runs / "two", settings())) == [0, 0]
    train("tiny", pairs, runs / "one", **settings(batch_size=4))
    assert_same(trained(runs / "two"), trained(runs / "one"), 1e-5)
    assert moved(runs / "one") > 1e-4
    assert sorted(item.name for item in (runs / "two").iterdir()) == sorted(
        item.name for item in (runs / "one").iterdir()
    )
    assert len(read_log(runs / "two" / "log.jsonl")) == 20


def launched(file: str, pairs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """What a user types, with two processes on the CPU."""
    launcher = ["--config_file", f"configs/accelerate/{file}", "--num_processes", "2"]
    launcher += ["--main_process_port", str(free_port())]
    words = ["--model", "tiny", "--device", "cpu", "--pairs", str(pairs), "--out", str(out), "--steps", "4"]
    words += ["--batch-size", "2", "--lora-rank", "2", "--lr", "1e-5", "--precision", "fp32"]
    return subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *launcher, "-m", "asap.cli", "train", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
def test_accelerate_launch_with_the_shipped_file(pairs: Path) -> None:
    out = pairs.parent / "launched"
    ended = launched("ddp.yaml", pairs, out)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("weights ") == 1  # one process speaks
    train("tiny", pairs, pairs.parent / "unlaunched", **settings(steps=4, batch_size=4))
    assert_same(trained(out), trained(pairs.parent / "unlaunched"), 1e-5)


@pytest.mark.slow
def test_accelerate_launch_that_spreads_weights_without_gpus(pairs: Path) -> None:
    ended = launched("fsdp2.yaml", pairs, pairs.parent / "spread")
    assert ended.returncode != 0
    assert "asap: error: FSDP2 shards weights over GPUs, and accelerate found none here" in ended.stderr
    assert not (pairs.parent / "spread").exists()


def moved(out: Path) -> float:
    """Largest weight of the half of the adapter that starts at 0."""
    return max(float(value.abs().max()) for name, value in trained(out).items() if "lora_B" in name)


@pytest.fixture(scope="module")
def whole(pairs: Path) -> dict[str, Tensor]:
    """What two processes come to that nobody kills."""
    assert codes(start_two(pairs, pairs.parent / "whole", settings())) == [0, 0]
    return trained(pairs.parent / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_costs_nothing(pairs: Path, whole: dict[str, Tensor], victim: int) -> None:
    kill_and_go_on(start_two, pairs, pairs.parent / f"killed-{victim}", settings(), victim, whole)


@pytest.mark.slow
def test_a_run_goes_on_in_another_number_of_processes(pairs: Path, whole: dict[str, Tensor]) -> None:
    out = pairs.parent / "elastic"
    assert codes(start_two(pairs, out, settings(steps=9))) == [0, 0]
    with pytest.raises(InputError, match=r"training.global_batch is 4, not 2"):
        train("tiny", pairs, out, **settings())
    train("tiny", pairs, out, **settings(global_batch=4))
    assert_same(trained(out), whole, 1e-5)


@pytest.mark.slow
def test_a_mistake_ends_all_processes_alike(pairs: Path) -> None:
    out = pairs.parent / "mistake"
    out.mkdir()
    (out / "stranger.txt").write_text("")
    assert codes(start_two(pairs, out, settings())) == [2, 2]


@pytest.mark.slow
def test_errors_kept_by_one_process_are_not_taken_for_those_of_two(pairs: Path, whole: dict[str, Tensor]) -> None:
    """At the same batch a process, the same place of a step holds another pair when there are two processes."""
    kept = settings(reuse_reference=True)
    train("tiny", pairs, pairs.parent / "alone", **kept)
    assert codes(start_two(pairs, pairs.parent / "together", kept)) == [0, 0]
    assert_same(trained(pairs.parent / "together"), whole, 1e-6)


@pytest.mark.slow
def test_two_processes_take_the_same_shapes_as_one(tmp_path: Path) -> None:
    """Images of several shapes, seen through windows: the pairs of a step, and so the weights, are those of one."""
    sdxl.build(tmp_path / "model")
    pairs = framed(tmp_path / "pairs", 14)
    how = settings(steps=8, buckets=True, window=0.5)
    assert codes(start_two(pairs, tmp_path / "two", {**how, "model": str(tmp_path / "model")})) == [0, 0]
    train(str(tmp_path / "model"), pairs, tmp_path / "one", **{**how, "batch_size": 4})
    assert_same(trained(tmp_path / "two"), trained(tmp_path / "one"), 1e-5)
    seen = [{row["seen"] for row in read_log(tmp_path / out / "log.jsonl")} for out in ("one", "two")]
    assert seen[0] == seen[1]
    assert len(seen[0]) > 1
