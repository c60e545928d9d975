"""Weights spread over two processes by FSDP2 (gloo, CPU) against one process that has them all.

accelerate takes FSDP from its launcher on accelerators alone: on a CPU its state says MULTI_CPU whatever the launcher
asked for. ``on_the_cpu`` lifts that one condition; all that follows, accelerate's preparation and torch's FSDP2, is the
real thing.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file
from torch import Tensor

from asap.workflows.training.run import train
from tests.workflows.runtime.test_distributed import (
    assert_same,
    codes,
    kill_and_go_on,
    settings,
    spread_and_go_on,
    start_two,
    trained,
)
from tests.workflows.training.test_config import ROOT
from tests.workflows.training.test_run import store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, so that each need not import torch"),
]
FILE = ROOT / "configs" / "accelerate" / "fsdp2.yaml"


def asked(*words: str) -> dict[str, str]:
    """What `accelerate launch --config_file configs/accelerate/fsdp2.yaml` puts into the environment."""
    given = launch_command_parser().parse_args(["--config_file", str(FILE), *words, "script.py"])
    return {
        name: value
        for name, value in prepare_multi_gpu_env(_validate_launch_command(given)[0]).items()
        if name.startswith("FSDP_") or name == "ACCELERATE_USE_FSDP"
    }


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("spread") / "pairs", 12)


def on_the_cpu() -> None:
    os.environ.update(asked())
    original: Callable[..., None] = AcceleratorState.__init__

    def begin(self: Any, *words: Any, **named: Any) -> None:  # noqa: ANN401
        original(self, *words, **named)
        if self.distributed_type == DistributedType.MULTI_CPU and named.get("fsdp_plugin") is not None:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, named["fsdp_plugin"]
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = begin


def spread(pairs: Path, out: Path, how: dict[str, Any], **more: Any) -> list[Any]:  # noqa: ANN401
    return start_two(pairs, out, how, before=on_the_cpu, **more)


def full(out: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(str(out / "denoiser" / "diffusion_pytorch_model.safetensors"))
    return found


def test_an_adapter_is_trained_as_by_one_process(pairs: Path) -> None:
    runs = pairs.parent
    assert codes(spread(pairs, runs / "two", settings())) == [0, 0]
    train("tiny", pairs, runs / "one", **settings(batch_size=4))
    assert_same(trained(runs / "two"), trained(runs / "one"), 1e-5)


def test_all_weights_are_trained_as_by_one_process(pairs: Path) -> None:
    """With an average, two micro-batches a step, held-out pairs, images and snapshots."""
    runs = pairs.parent
    watched = {"ema": 0.5, "validate_every": 4, "validation_images": 3, "validation_steps": 1, "max_grad_norm": 1.0}
    how: dict[str, Any] = {"full": True, "lora_rank": None, "snapshots": (3,), "global_batch": 8, **watched}
    how["steps"] = 8
    assert codes(spread(pairs, runs / "two-full", settings(**how))) == [0, 0]
    train("tiny", pairs, runs / "one-full", **settings(**how, batch_size=4))
    assert_same(full(runs / "two-full"), full(runs / "one-full"), 1e-5)
    assert_same(full(runs / "two-full/snapshots/step-000003"), full(runs / "one-full/snapshots/step-000003"), 1e-5)
    for name in ("config.json", "../manifest.json"):
        assert (runs / "two-full/denoiser" / name).exists()
    assert (runs / "two-full/denoiser/config.json").read_text() == (runs / "one-full/denoiser/config.json").read_text()
    names = [sorted(path.name for path in (runs / run / "validation").rglob("*")) for run in ("two-full", "one-full")]
    assert names[0] == names[1]


@pytest.fixture(scope="module")
def unkilled(pairs: Path) -> dict[str, Tensor]:
    """What two processes come to that nobody kills."""
    assert codes(spread(pairs, pairs.parent / "unkilled", settings(ema=0.9))) == [0, 0]
    return trained(pairs.parent / "unkilled")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_costs_nothing(pairs: Path, unkilled: dict[str, Tensor], victim: int) -> None:
    kill_and_go_on(spread, pairs, pairs.parent / f"killed-{victim}", settings(ema=0.9), victim, unkilled)


@pytest.mark.parametrize("spread_first", [True, False])
def test_a_run_goes_on_with_and_without(pairs: Path, unkilled: dict[str, Tensor], spread_first: bool) -> None:
    spread_and_go_on(spread, pairs, pairs.parent / f"elastic-{spread_first}", settings(ema=0.9), spread_first, unkilled)


@pytest.mark.parametrize("wish", [{"gradient": "two_pass"}, {"skip_satisfied": True}, {"reuse_reference": True}])
def test_what_does_not_go_with_it_is_said(
    pairs: Path, wish: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    assert codes(spread(pairs, pairs.parent / "refused", settings(**wish))) == [2, 2]
    (name,) = wish
    said = capfd.readouterr().out
    assert f"{name} " in said
    assert "does not work with weights sharded by FSDP2: it " in said
    assert not (pairs.parent / "refused").exists()


def test_without_gpus_accelerate_does_not_spread(pairs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def as_launched() -> None:
        os.environ.update(asked())

    assert codes(start_two(pairs, pairs.parent / "cpu", settings(), before=as_launched)) == [2, 2]
    assert "FSDP2 shards weights over GPUs, and accelerate found none here" in capfd.readouterr().out
