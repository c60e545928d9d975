"""The judge on another device: everything is computed there, and a seed draws the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asap.benchmark.judge import JudgeNetwork, JudgePairs, JudgeSpec, JudgeTraining, predict, train_judge
from asap.benchmark.judge import batches as module
from asap.benchmark.judge.batches import Batcher, Drawn
from asap.benchmark.judge.trainer import _Run
from asap.core.prefetch import Prefetcher
from tests.one_device import OneDevice, bring_zeros

Maker = Callable[[int, int], JudgePairs]
SPEC = JudgeSpec(size=64, widths=(8, 8, 16, 16), attributes=(("fingers", ("2", "3", "4")), ("skin", ("dark", "light"))))
SETTINGS = JudgeTraining(window_epochs=1, epochs=1, batch=4)


def test_steps_and_verdicts_are_computed_there(drawn: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, batcher = _Run(SPEC, SETTINGS, tmp_path, None, "meta"), Batcher(drawn(8, 0), SPEC, 4, 0, "meta")
    bring_zeros(monkeypatch)
    with OneDevice():
        for narrow in (batcher, None):
            terms = run.advance(narrow, batcher, 2)
            assert {value.device.type for value in terms.values()} == {"meta"}
        images, targets = next(iter(batcher.every()))
        found = predict(run.network, drawn(3, 50).chosen)
        run.validate(drawn(8, 50))
    assert run.step == 2
    assert images.device.type == targets.maps.device.type == "meta"
    assert found.score.shape == (3,)
    assert {value.device.type for value in run.network.state_dict().values()} == {"meta"}
    assert {value.device.type for value in run.best_state.values()} == {"meta"}


def test_what_is_drawn_is_the_same_for_every_device(drawn: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Drawn, "to", lambda self, _: self)
    pairs = drawn(8, 0)
    near, far = (Batcher(pairs, SPEC, 4, 0, device) for device in ("cpu", "meta"))
    for one, other in ((near._drawn(1), far._drawn(1)), (near._narrow(1), far._narrow(1))):
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


def test_what_is_drawn_ahead_by_threads_trains_the_same_weights(
    drawn: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = drawn(12, 0), drawn(8, 900)
    plain = train_judge(*pairs, SPEC, SETTINGS, folder=tmp_path / "plain").network.state_dict()
    monkeypatch.setattr(module, "Ahead", lambda make, _: Prefetcher(make, threads=2))
    ahead = train_judge(*pairs, SPEC, SETTINGS, folder=tmp_path / "ahead").network.state_dict()
    assert all(torch.equal(value, ahead[name]) for name, value in plain.items())
