"""`asap bench run` from outside: two processes, a kill, a foreign LoRA."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from asap.cli.app import main
from asap.core.errors import StoreError
from asap.stores.generations import GenerationStore
from asap.stores.verdicts import VerdictRow, VerdictStore, VerdictWriter
from asap.workflows.runtime.distributed import World
from asap.workflows.runtime.lineage import trained_parent

SUITE = ("--model", "tiny", "--suite", "haf-mini", "--limit", "2", "--seeds", "2", "--steps", "2")
LAUNCH = ("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1")
PLAIN = ("--mixed_precision", "no", "--dynamo_backend", "no", "-m", "asap.cli")


def bench(out: Path, *module: str) -> list[str]:
    return [sys.executable, "-m", *(module or ("asap.cli",)), "bench", "run", *SUITE, "--out", str(out)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path("src").resolve()), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_two_processes_and_a_killed_one_end_with_the_same_bits(tmp_path: Path) -> None:
    subprocess.run(bench(tmp_path / "one"), check=True, env=environment(), timeout=600)
    whole = GenerationStore.open(tmp_path / "one" / "pictures")
    subprocess.run(bench(tmp_path / "two", *LAUNCH, *PLAIN), check=True, env=environment(), timeout=600)
    assert GenerationStore.open(tmp_path / "two" / "pictures").content_hash == whole.content_hash
    killed = tmp_path / "killed"
    with subprocess.Popen([*bench(killed), "--batch-size", "1"], env=environment()) as process:
        journal = killed / "pictures" / "generations.jsonl"
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not (journal.is_file() and journal.read_bytes().count(b"\n") >= 3):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not (killed / "pictures" / "manifest.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in killed.glob("pictures/*/samples/*.png")}
    subprocess.run(bench(killed, *LAUNCH, *PLAIN), check=True, env=environment(), timeout=600)
    assert GenerationStore.open(killed / "pictures").content_hash == whole.content_hash
    written = journal.read_text().count('"prompt_id"')
    assert written == len(whole)
    assert sum(path.stat().st_mtime_ns == before for path, before in kept.items()) >= 3, "nothing is drawn twice"


def test_a_full_disk_and_ctrl_c_are_one_line_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "run", "--model", "tiny", "--limit", "1", "--seeds", "2", "--steps", "1", "--judge", "learned"]
    words = [*words, "--batch-size", "4", "--out"]
    assert main([*words, str(tmp_path / "whole")]) == 0
    synced, added, sync, add = [0], [0], os.fsync, VerdictWriter.add

    def full(handle: int) -> None:
        synced[0] += 1
        if synced[0] > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    def stopped(self: VerdictWriter, row: VerdictRow) -> None:
        added[0] += 1
        if added[0] > 3:
            raise KeyboardInterrupt
        add(self, row)

    run = tmp_path / "run"
    for target, name, value, code, told in (
        (os, "fsync", full, 2, "No space left on device"),
        (VerdictWriter, "add", stopped, 130, "stopped; run the same command again to continue"),
    ):
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(target, name, value)
            assert main([*words, str(run)]) == code
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("asap: ")]
        assert len(lines) == 1
        assert told in lines[0]
        assert not list(run.rglob(".tmp-*"))
    assert main([*words, str(run)]) == 0
    for kind, store in (("pictures", GenerationStore), ("verdicts/learned", VerdictStore)):
        assert store.open(run / kind).content_hash == store.open(tmp_path / "whole" / kind).content_hash
    assert len(VerdictStore.open(run / "verdicts/learned")) == 10
    cited = json.loads((run / "verdicts/learned/calibration.json").read_text())
    assert cited["fingerprint"] == VerdictStore.open(run / "verdicts/learned").manifest.config["fingerprint"]


def test_one_process_needs_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = World()
    assert (alone.rank, alone.size) == (0, 1)
    alone.wait()


def test_a_foreign_lora_is_known_by_its_weights_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True)
    save_file({"a": torch.ones(2)}, str(folder / "lora.safetensors"))
    with pytest.raises(StoreError, match=r"no manifest\.json"):
        trained_parent(folder)
    parent, manifests = trained_parent(folder, foreign=True)
    file, _ = trained_parent(folder / "lora.safetensors", foreign=True)
    assert manifests == []
    assert parent.content_hash == file.content_hash
