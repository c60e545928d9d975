"""The judge on another device: everything is computed there, and a seed draws the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asap.benchmark.judge import JudgeNetwork, JudgePairs, JudgeSpec, predict
from asap.benchmark.judge import batches as module
from asap.benchmark.judge.batches import Augmentation, Batcher
from asap.core.prefetch import Prefetcher
from asap.workflows.training.judge import JudgeTraining, _Best, _JudgeTask, _network, train_judge
from asap.workflows.training.loop import Loop, LoopSettings, Schedule
from tests.one_device import OneDevice, bring_zeros

Maker = Callable[[int, int], JudgePairs]
SPEC = JudgeSpec(size=64, widths=(8, 8, 16, 16), attributes=(("fingers", ("2", "3", "4")), ("skin", ("dark", "light"))))
SETTINGS = JudgeTraining(window_epochs=1, epochs=1, batch=4)


def test_steps_and_verdicts_are_computed_there(make_pairs: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    batcher = Batcher(make_pairs(8, 0), SPEC, 4, 0, "meta")
    network = _network(SPEC, 0, None, "meta")
    task, best = _JudgeTask(network, batcher, batcher, SETTINGS), _Best(network, make_pairs(8, 50), 2, 2)
    bring_zeros(monkeypatch)
    with OneDevice():
        loop = Loop(task, LoopSettings(name="judge", steps=4, schedule=Schedule(lr=1e-3)))
        assert task.window_steps == 2
        for _ in range(4):
            loop.step()
        images, targets = next(iter(batcher.every()))
        found = predict(network, make_pairs(3, 50).chosen)
        best.evaluate(4)
    assert images.device.type == targets.maps.device.type == "meta"
    assert found.score.shape == (3,)
    assert {value.device.type for value in network.state_dict().values()} == {"meta"}
    assert {value.device.type for value in best.weights.values()} == {"meta"}


def test_random_choices_are_the_same_on_every_device(make_pairs: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Augmentation, "to", lambda self, _: self)
    pairs = make_pairs(8, 0)
    near, far = (Batcher(pairs, SPEC, 4, 0, device) for device in ("cpu", "meta"))
    for one, other in ((near._augmented(1), far._augmented(1)), (near._narrow(1), far._narrow(1))):
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def test_dropout_draws_from_the_generator_of_the_cpu_everywhere() -> None:
    layer, states = JudgeNetwork(SPEC).summary[-1].train(), []
    with torch.random.fork_rng(devices=[]):
        for device in ("cpu", "meta"):
            torch.manual_seed(1)
            seeded = torch.get_rng_state()
            assert layer(torch.ones(4, 128, device=device)).device.type == device
            states.append(torch.get_rng_state())
    assert torch.equal(*states)
    assert not torch.equal(states[0], seeded)


def test_batches_prepared_by_threads_train_the_same_weights(
    make_pairs: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = make_pairs(12, 0), make_pairs(8, 900)
    plain = train_judge(*pairs, SPEC, SETTINGS, folder=tmp_path / "plain").network.state_dict()
    monkeypatch.setattr(module, "Prefetcher", lambda make, _: Prefetcher(make, threads=2))
    ahead = train_judge(*pairs, SPEC, SETTINGS, folder=tmp_path / "ahead").network.state_dict()
    assert all(torch.equal(value, ahead[name]) for name, value in plain.items())
