"""Gradients and moments spread over two processes by DeepSpeed's ZeRO-2 (gloo, CPU) against one process that has all.

accelerate takes DeepSpeed from its launcher on accelerators alone: on a CPU its state says MULTI_CPU whatever the
launcher asked for. ``on_the_cpu`` lifts that one condition; all that follows, accelerate's preparation and DeepSpeed's
engine, is the real thing.
"""

import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_deepspeed_cmd_env
from torch import Tensor

from asap.stores.trainlog import read_log
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
from tests.workflows.training.test_fsdp import full
from tests.workflows.training.test_run import store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed"),
]
FILE = ROOT / "configs" / "accelerate" / "deepspeed.yaml"
KEYS = "add_embedding.pool.k_proj.bias"


def asked(*words: str) -> dict[str, str]:
    """What `accelerate launch --config_file configs/accelerate/deepspeed.yaml` puts into the environment."""
    given = launch_command_parser().parse_args(["--config_file", str(FILE), *words, "script.py"])
    settled, defaults, _ = _validate_launch_command(given)
    settled.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)  # as the launcher does
    found = prepare_deepspeed_cmd_env(settled)[1]
    return {name: value for name, value in found.items() if "DEEPSPEED" in name or name.startswith("ACCELERATE_GRAD")}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("deepspeed") / "pairs", 12)


def launched(*words: str) -> None:
    os.environ.update(asked(*words))


def on_the_cpu(*words: str) -> None:
    launched(*words)
    original: Callable[..., None] = AcceleratorState.__init__

    def begin(self: Any, *given: Any, **named: Any) -> None:  # noqa: ANN401
        original(self, *given, **named)
        plugin = named.get("deepspeed_plugin")
        if self.distributed_type == DistributedType.MULTI_CPU and plugin is not None:
            plugin.set_mixed_precision("no")
            plugin.select(_from_accelerator_state=True)
            self.distributed_type, self.deepspeed_plugins = DistributedType.DEEPSPEED, plugin
            PartialState._shared_state["distributed_type"] = DistributedType.DEEPSPEED

    AcceleratorState.__init__ = begin


def spread(pairs: Path, out: Path, how: dict[str, Any], **more: Any) -> list[Any]:  # noqa: ANN401
    return start_two(pairs, out, how, before=on_the_cpu, **more)


def test_an_adapter_is_trained_as_by_one_process(pairs: Path) -> None:
    """Two micro-batches a step, a clipped norm, an average: the same weights, and the same norms in the log."""
    runs, how = pairs.parent, settings(grad_accum=2, options={"ema": 0.5, "max_grad_norm": 0.5, "weight_decay": 0.1})
    assert codes(spread(pairs, runs / "two", how)) == [0, 0]
    train("tiny", pairs, runs / "one", **{**how, "batch_size": 4})
    assert_same(trained(runs / "two"), trained(runs / "one"), 1e-5)
    norms = [[row["grad_norm"] for row in read_log(runs / name / "log.jsonl")] for name in ("two", "one")]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    assert max(norms[1]) > 0.5


def test_all_weights_are_trained_as_by_one_process(pairs: Path) -> None:
    """All but the bias of the pooling's keys, which shifts every score alike.

    A softmax does not see that, so its gradient is rounding, and AdamW makes steps of up to the learning rate of it.
    """
    runs, how = pairs.parent, settings(full=True, lora_rank=None, steps=8)
    assert codes(spread(pairs, runs / "two-full", how)) == [0, 0]
    train("tiny", pairs, runs / "one-full", **{**how, "batch_size": 4})
    two, one = full(runs / "two-full"), full(runs / "one-full")
    moved = (two.pop(KEYS) - one.pop(KEYS)).abs().max().item()
    assert moved <= 2 * 8 * how["lr"]
    assert_same(two, one, 1e-6)


@pytest.fixture(scope="module")
def unkilled(pairs: Path) -> dict[str, Tensor]:
    """What two processes come to that nobody kills."""
    assert codes(spread(pairs, pairs.parent / "unkilled", settings())) == [0, 0]
    return trained(pairs.parent / "unkilled")


def test_a_killed_process_costs_nothing(pairs: Path, unkilled: dict[str, Tensor]) -> None:
    victim = time.time_ns() % 2  # another each time the test is run
    kill_and_go_on(spread, pairs, pairs.parent / "killed", settings(), victim, unkilled)


@pytest.mark.parametrize("spread_first", [True, False])
def test_a_run_goes_on_with_and_without(pairs: Path, unkilled: dict[str, Tensor], spread_first: bool) -> None:
    spread_and_go_on(spread, pairs, pairs.parent / f"elastic-{spread_first}", settings(), spread_first, unkilled)


@pytest.mark.parametrize("wish", [{"gradient": "two_pass"}, {"skip": True}, {"compile": True}, {"precision": "fp16"}])
def test_what_does_not_go_with_it_is_said(
    pairs: Path, wish: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    assert codes(spread(pairs, pairs.parent / "refused", settings(options=wish))) == [2, 2]
    said = capfd.readouterr().out
    assert f"{next(iter(wish))} " in said
    assert "does not go with DeepSpeed: it " in said
    assert not (pairs.parent / "refused").exists()


def test_another_stage_is_refused(pairs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    team = start_two(pairs, pairs.parent / "three", settings(), before=lambda: on_the_cpu("--zero_stage", "3"))
    assert codes(team) == [2, 2]
    assert (
        "takes ZeRO-2 of DeepSpeed with everything on the GPU, the launcher asks for stage 3" in capfd.readouterr().out
    )


def test_without_gpus_accelerate_does_not_spread(pairs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert codes(start_two(pairs, pairs.parent / "cpu", settings(), before=launched)) == [2, 2]
    assert "spread over GPUs alone (DeepSpeed), and accelerate sees none here" in capfd.readouterr().out
