"""`asap bench run` from outside: two processes, a kill, a foreign LoRA."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from asap.core.errors import StoreError
from asap.stages.lineage import trained_parent
from asap.stages.ranks import ranks
from asap.stores.generations import GenerationStore

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
    with subprocess.Popen([*bench(killed), "--batch", "1"], env=environment()) as process:
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


def test_one_process_needs_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = ranks()
    assert (alone.rank, alone.world) == (0, 1)
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
