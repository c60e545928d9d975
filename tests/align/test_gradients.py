"""Switches of speed and memory give the same training: two passes, bank, splits, skips, checkpoints, lean layers."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from asap.align import adapters, lean, products
from asap.align.adapters import AdapterSettings, adapt
from asap.align.batch import Slots, draw
from asap.align.gradients import slopes
from asap.align.lean import make_lean
from asap.align.methods import PairErrors, pair_losses, resolve
from asap.align.trainer import Trainer
from tests.align.fakes import SHAPE, MemoryPairs, StraightPath, TinyBackbone, trainer
from tests.align.memory import peak

STEPS = 20
EQUAL = 1e-6
"""Largest change of a weight, relative to the largest of its tensor, that counts as the same training."""


@pytest.fixture(autouse=True)
def _one_thread() -> Any:  # noqa: ANN401
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def taken(method: str = "asap", **settings: Any) -> Trainer:  # noqa: ANN401
    run = trainer(method, **{"lora": True, "steps": STEPS, "batch_size": 2, "lr": 1e-4, **settings})
    list(run.steps())
    return run


def furthest(left: Trainer, right: Trainer) -> float:
    """Largest difference of a trained network's effective weights, relative to the largest weight of its tensor."""
    found = 0.0
    for one, other in zip(effective(left), effective(right), strict=True):
        found = max(found, float((one - other).abs().max() / one.abs().max()))
    return found


def effective(run: Trainer) -> list[Tensor]:
    """Weights of the network as it computes: base plus adapter; or all matrices and kernels.

    Biases start at 0 and are as small as AdamW's steps, which have no size relative to them.
    """
    layers = [module for module in run.policy.modules() if hasattr(module, "get_delta_weight")]
    if not layers:
        return [value.detach() for value in run.policy.parameters() if value.ndim > 1]
    return [(module.base_layer.weight + module.get_delta_weight("default")).detach() for module in layers]  # type: ignore[union-attr, operator]


def moved(run: Trainer) -> float:
    start = trainer(lora=True)
    return furthest(start, run)


SWITCHES: dict[str, dict[str, Any]] = {
    "two_pass": {"gradient": "two_pass"},
    "two_pass_draws_guard": {"gradient": "two_pass", "draws": 2, "method": "asap_guard"},
    "split": {"batch_size": 1, "grad_accum": 2},
    "two_pass_split": {"gradient": "two_pass", "batch_size": 1, "grad_accum": 2},
    "apart": {"batched": False},
    "skip": {"skip": True, "method": "asap_hinge"},
    "skip_two_pass": {"skip": True, "gradient": "two_pass", "method": "asap_hinge"},
    "checkpointing": {"checkpointing": True},
}
SPEED = ("gradient", "skip", "batched", "checkpointing", "batch_size", "grad_accum")


@cache
def plain(method: str = "asap", draws: int = 1) -> Trainer:
    """The run without any switch."""
    return taken(method, draws=draws, loss={"tau": 0.5})


QUICK = ("two_pass", "split")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in SWITCHES])
def test_a_switch_changes_no_weight(name: str) -> None:
    """After twenty steps of AdamW in float32, within 1e-6 of the plain run, which moves a thousand times that."""
    chosen = {"loss": {"tau": 0.5}, **SWITCHES[name]}
    start = plain(**{key: value for key, value in SWITCHES[name].items() if key not in SPEED})
    assert furthest(start, taken(**chosen)) <= EQUAL
    assert moved(start) > 1000 * EQUAL


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
@pytest.mark.xfail(strict=True, reason="the compiled gradient is off by a tenth of the largest; the cause is not found")
def test_a_compiled_denoiser_gives_the_same_gradient() -> None:
    """To the rounding of fused kernels; weights cannot be compared, because Adam makes a step of any gradient."""
    usual, fused = (
        trainer(lora=True, batch_size=2, lr=1e-4, steps=3, loss={"tau": 0.5}, compile=flag) for flag in (False, True)
    )
    assert fused.policy.denoiser._compiled_call_impl is not None
    looks = [run._backward(run._slots(0, 0, run.order.turn(0))) for run in (usual, fused)]
    torch.testing.assert_close(looks[1].losses, looks[0].losses, atol=1e-5, rtol=0)
    largest = max(float(value.grad.abs().max()) for value in usual.weights.values() if value.grad is not None)
    for name, value in usual.weights.items():
        other = fused.weights[name].grad
        assert value.grad is not None, name
        assert other is not None, name
        assert float((value.grad - other).abs().max()) <= 1e-4 * largest, name


@pytest.mark.slow
def test_full_training_in_two_passes_changes_no_weight() -> None:
    settings: dict[str, Any] = {"lora": False, "lr": 1e-6, "steps": 3, "loss": {"tau": 0.5}}
    assert furthest(taken(**settings), taken(**settings, gradient="two_pass")) <= EQUAL


class Memory:
    """A bank in memory that counts what it was asked in vain."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], Tensor] = {}
        self.misses = 0

    def get(self, pairs: Any, numbers: Any) -> Tensor:  # noqa: ANN401
        nothing = torch.full((2, 3), torch.nan, dtype=torch.float64)
        names = [(pair, number) for pair, own in zip(pairs, numbers, strict=True) for number in own]
        self.misses += sum(name not in self.kept for name in names)
        return torch.stack([self.kept.get(name, nothing) for name in names]).reshape(len(pairs), -1, 2, 3)

    def put(self, pairs: Any, numbers: Any, values: Tensor) -> None:  # noqa: ANN401
        for pair, own, sums in zip(pairs, numbers, values, strict=True):
            self.kept.update({(pair, number): one for number, one in zip(own, sums, strict=True)})


@pytest.mark.parametrize("mode", ["one_pass", pytest.param("two_pass", marks=pytest.mark.slow)])
def test_a_bank_of_kept_draws_changes_no_weight(mode: str) -> None:
    """Four pairs, two kept draws each: twenty steps of two pairs ask 40 times, and the reference answers 8 times."""
    settings: dict[str, Any] = {"pairs": MemoryPairs(4), "kept_draws": 2, "gradient": mode, "loss": {"tau": 0.5}}
    bank = Memory()
    asked, banked = taken(**settings), taken(**settings, bank=bank)
    assert bank.misses == 8
    assert furthest(asked, banked) <= EQUAL


def test_a_bank_that_knows_half_a_batch_asks_for_the_rest() -> None:
    """Rows that are known are not run again; the run is the same to rounding."""
    bank = Memory()
    taken(steps=4, kept_draws=1, bank=bank, pairs=MemoryPairs(4))
    for name in list(bank.kept)[::2]:
        del bank.kept[name]
    asked: list[int] = []
    run = trainer(lora=True, kept_draws=1, bank=bank, pairs=MemoryPairs(4), batch_size=4)
    inner = run.gradients.reference
    run.gradients = replace(run.gradients, reference=lambda x, t, c: asked.append(len(x)) or inner(x, t, c))  # type: ignore[func-returns-value]
    assert run.step()["delta"] == pytest.approx(0, abs=1e-6)
    assert asked == [4]


def test_skipped_pairs_are_those_past_the_margin() -> None:
    """With a margin that every pair reaches at once nothing has a gradient, and the weights stay."""
    run = trainer("asap_hinge", lora=True, skip=True, batch_size=3, loss={"tau": 1e-9}, lr=1e-2)
    start = {name: value.clone() for name, value in run.weights.items()}
    first = run.step()
    later = [run.step() for _ in range(3)]
    assert first["skipped"] == 0
    assert any((row["skipped"] or 0) > 0 for row in later)
    assert any(not torch.equal(start[name], value) for name, value in run.weights.items())


@pytest.mark.parametrize(("precision", "asked"), [("fp32", [4]), ("bf16", [1, 1, 1, 1])])
def test_two_passes_ask_the_reference_at_once_in_float32_alone(precision: str, asked: list[int]) -> None:
    """Two draws of a pair are four rows; whichever way, delta is 0 before the first step, to rounding."""
    run = trainer(lora=True, batch_size=1, draws=2, gradient="two_pass", precision=precision)
    inner, seen = run.gradients.reference, []
    run.gradients = replace(run.gradients, reference=lambda x, t, c: seen.append(len(x)) or inner(x, t, c))  # type: ignore[func-returns-value]
    assert run.step()["delta"] == pytest.approx(0, abs=1e-6)
    assert seen == asked


def test_two_passes_hold_one_image() -> None:
    """Bytes that autograd keeps at the peak: two passes hold at most 0.6 of one pass on a single pair."""
    one, _ = peak(trainer(lora=True, batch_size=1))
    two, _ = peak(trainer(lora=True, batch_size=1, gradient="two_pass"))
    assert two <= 0.6 * one


# --- the slopes


@pytest.mark.parametrize("name", ["sft", "dpo", "ipo", "asap", "asap_hinge", "asap_anchor", "asap_guard", "sdpo"])
def test_slopes_are_the_gradient_of_the_loss(name: str) -> None:
    method, settings = resolve(name, {})

    def one(value: float) -> Tensor:
        return torch.tensor([value, value * 1.01], dtype=torch.float64)

    errors = PairErrors(
        policy_winner=one(0.101).requires_grad_(),
        reference_winner=one(0.1),
        policy_loser=one(0.102).requires_grad_(),
        reference_loser=one(0.1),
        mask_share=one(0.05),
        alignment=one(2.0),
    )
    losses, _ = pair_losses(method.shape, errors, settings)
    expected = torch.autograd.grad(losses.sum(), (errors.policy_winner, errors.policy_loser), allow_unused=True)
    found, _, *both = slopes(method, errors, settings)
    assert torch.equal(found, losses.detach())
    for slope, want in zip(both, expected, strict=True):
        assert torch.equal(slope, torch.zeros_like(slope) if want is None else want)


# --- the formula of diffusers' script, written again


def diffusers_dpo(
    model: Callable[[Tensor, Tensor, Tensor], Tensor],
    reference: Callable[[Tensor, Tensor, Tensor], Tensor],
    inputs: tuple[Tensor, Tensor, Tensor],
    target: Tensor,
    beta_dpo: float,
) -> Tensor:
    """The objective of train_diffusion_dpo_sdxl.py: winners in the first half of the rows, losers in the second.

    Per row the mean of the squared residual; inside = -beta/2 * ((w - l) of the model - (w - l) of the reference); the
    loss is the mean of -log sigmoid(inside).
    """

    def gap(prediction: Tensor) -> Tensor:
        error = ((prediction - target) ** 2).flatten(1).double().mean(1)
        half = len(error) // 2
        return error[:half] - error[half:]

    with torch.no_grad():
        held = gap(reference(*inputs))
    inside = -0.5 * beta_dpo * (gap(model(*inputs)) - held)
    return torch.log1p(torch.exp(-inside)).mean()


def test_dpo_is_that_of_diffusers_script() -> None:
    """Loss and gradient within 1e-6 in float32 at k = beta_dpo / 2 = 2500, alpha 0, the same noise and times."""
    beta_dpo = 5000.0
    run = trainer("dpo", lora=True, batch_size=3, lr=1e-4, loss={"beta": beta_dpo / 2})
    list(run.steps(until=2))  # so that delta is not 0
    turn = run.order.turn(2)
    look = run._backward(run._slots(2, 0, turn))
    ours = {name: value.grad.clone() for name, value in run.weights.items() if value.grad is not None}
    run.optimizer.zero_grad()

    batch = run.source.batch(turn.pairs)
    slots = Slots(step=2, places=(0, 1, 2), pairs=turn.pairs, batch=3, total=20, start=6)
    draws = draw(StraightPath(), SHAPE, slots, seed=run.settings.seed, draws=1)
    clean, noise, time = (
        torch.cat([batch.winner, batch.loser]),
        torch.cat([draws.noise[:, 0]] * 2),
        torch.cat([draws.time[:, 0]] * 2),
    )
    share = time.reshape(-1, 1, 1, 1)
    inputs = ((1 - share) * clean + share * noise, time, torch.cat([batch.condition.tensors["text"]] * 2))
    unet: Any = run.policy.denoiser

    def model(x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        return unet(x, t * 1000, encoder_hidden_states=text).sample  # type: ignore[no-any-return]

    def held(x: Tensor, t: Tensor, text: Tensor) -> Tensor:
        unet.disable_adapters()
        try:
            return model(x, t, text)
        finally:
            unet.enable_adapters()

    loss = diffusers_dpo(model, held, inputs, noise - clean, beta_dpo)
    loss.backward()  # type: ignore[no-untyped-call]
    expected = float(loss.detach())
    assert expected != pytest.approx(math.log(2), abs=1e-3)
    assert float(look.losses.mean()) == pytest.approx(expected, abs=1e-6)
    largest = max(float(value.grad.abs().max()) for value in run.weights.values() if value.grad is not None)
    for name, value in run.weights.items():
        assert value.grad is not None
        assert float((ours[name] - value.grad).abs().max()) <= 1e-6 * largest, name


# --- adapters and lean layers


def prediction(backbone: TinyBackbone, *, scale: float = 0.3) -> tuple[Tensor, list[Tensor]]:
    """What the denoiser says, and the gradient of its square, with adapters that say something."""
    source = torch.Generator().manual_seed(5)
    weights = [value for value in backbone.denoiser.parameters() if value.requires_grad]
    with torch.no_grad():
        for value in weights:
            value.copy_(torch.randn(value.shape, generator=source) * scale)
    batch = MemoryPairs(2).batch([0, 1])
    found = backbone.denoise(batch.winner, torch.tensor([0.2, 0.8]), batch.condition)
    return found.detach(), list(torch.autograd.grad(found.square().mean(), weights))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lean_layers_give_what_pefts_give(dtype: torch.dtype) -> None:
    lean, usual = TinyBackbone(), TinyBackbone()
    settings = AdapterSettings(rank=2, alpha=3.0)
    adapt(lean, settings, seed=1)
    adapt(usual, settings, seed=1)
    changed = [module for module in usual.denoiser.modules() if "forward" in vars(module)]
    for module in changed:
        del module.forward
    assert sum(hasattr(module, "lora_A") for module in changed) == 32
    half = dtype is torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        (ours, slopes_ours), (theirs, slopes_theirs) = prediction(lean), prediction(usual)
    tolerance = 0.05 if half else 1e-5
    assert float((ours - theirs).abs().max()) <= tolerance * float(theirs.abs().max())
    largest = max(float(value.abs().max()) for value in slopes_theirs)
    for one, other in zip(slopes_ours, slopes_theirs, strict=True):
        assert float((one - other).abs().max()) <= tolerance * largest


def usual_layers(run: Trainer) -> Trainer:
    """The trainer with every layer's own forward again."""
    changed = [module for module in run.policy.modules() if "forward" in vars(module)]
    assert len(changed) > 32
    for module in changed:
        del module.forward
    return run


@pytest.mark.parametrize(
    ("merges", "product", "fused"),
    [(True, True, False), (True, False, False), (False, True, False), (False, False, False), (False, True, True),
     (False, False, True)],
    ids=["merged-onednn", "merged-blas", "apart-onednn", "apart-blas", "fused-onednn", "fused-blas"],
)  # fmt: skip
def test_lean_layers_change_no_weight(
    merges: bool, product: bool, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty steps, fused, merged or not, by either library, against peft's layers and torch's: within 1e-6."""
    settings: dict[str, Any] = {"lora": True, "steps": STEPS, "batch_size": 2, "lr": 1e-4, "loss": {"tau": 0.5}}
    usual = usual_layers(trainer("asap", **settings))
    list(usual.steps())
    counts = {"merged": 0, "fast": 0}

    def merge(_rows: int, _weight: Tensor) -> bool:
        counts["merged"] += merges
        return merges

    def fast(x: Tensor, weight: Tensor) -> bool:
        counts["fast"] += product
        return product and x.dtype == weight.dtype == torch.float32

    monkeypatch.setattr(lean, "_merges", merge)
    if not fused:
        monkeypatch.setattr(adapters, "fuse_blocks", lambda _: 0)
    for module in (lean, products):
        monkeypatch.setattr(module, "fast", fast)
    assert furthest(usual, taken(loss={"tau": 0.5})) <= EQUAL
    assert (counts["merged"] > 0, counts["fast"] > 0) == (merges, product)


def test_a_step_uses_both_where_it_should() -> None:
    """Rows that outnumber channels are merged in float32 alone; oneDNN is asked for enough rows of float32 alone."""
    weight, half = torch.zeros(32, 16), torch.zeros(32, 16, dtype=torch.bfloat16)
    assert [lean._merges(rows, weight) for rows in (21, 22)] == [False, True]  # 2 * 32 * 16 against rows * (32 + 16)
    assert not lean._merges(10**6, half)
    there = products.ASKED
    assert [products.fast(torch.zeros(rows, 16), weight) for rows in (63, 64)] == [False, there]
    assert products.fast(torch.zeros(4, 16, 16), weight) == there
    assert not products.fast(torch.zeros(64, 16, dtype=torch.bfloat16), half)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not products.fast(torch.zeros(64, 16), weight)


@pytest.mark.parametrize(("instructions", "asked"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_onednn_is_asked_where_it_is_the_faster(
    instructions: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    assert products._asked() == (asked and products._ONEDNN is not None)


@pytest.mark.parametrize("rows", [2, 200])
def test_products_are_those_of_torch(rows: int) -> None:
    """Value and gradient of a frozen map, of inputs with axes before the last and a gradient that is not contiguous."""
    source = torch.Generator().manual_seed(rows)
    x = torch.randn(2, rows // 2, 24, generator=source).requires_grad_()
    weight, bias = torch.randn(40, 24, generator=source), torch.randn(40, generator=source)
    slope = torch.randn(40, rows // 2, 2, generator=source).permute(2, 1, 0)
    found, usual = products.fixed(x, weight, bias), torch.nn.functional.linear(x, weight, bias)
    torch.testing.assert_close(found, usual, atol=1e-5, rtol=1e-5)
    (one,), (other,) = (torch.autograd.grad(value, x, slope) for value in (found, usual))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(products.fixed(x, weight, None), x @ weight.t(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["dora", "lokr"])
def test_other_adapters_keep_pefts_forward_and_train(kind: str) -> None:
    backbone = TinyBackbone()
    policy = adapt(backbone, AdapterSettings(kind=kind, rank=2), seed=3)  # type: ignore[arg-type]
    assert make_lean(backbone.denoiser) == 0
    run = trainer("asap", policy=policy, lr=1e-3, loss={"tau": 0.5})
    rows = list(run.steps(until=3))
    assert rows[0]["delta"] == pytest.approx(0, abs=1e-6)
    assert rows[2]["delta"] != 0
    assert all(kind[:3] in name or "lora" in name for name in run.weights)
