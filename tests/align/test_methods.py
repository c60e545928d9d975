"""The registry of methods and what each does to the same pair."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from asap.align.methods import METHODS, LossSettings, PairErrors, numbers, pair_losses, resolve
from asap.core.errors import ConfigError, UnknownNameError

NAMES = (
    "sft",
    "dpo",
    "asap",
    "localized_dpo",
    "margin_dpo",
    "asap_hinge",
    "asap_area",
    "asap_time",
    "asap_anchor",
    "asap_guard",
    "asap_sft",
    "ipo",
    "sdpo",
    "localized_sdpo",
)


def errors(winner: float, loser: float, *, alignment: float = 0.5, share: float = 0.05) -> PairErrors:
    """One pair whose reference errors are 0.1 on both sides."""

    def one(value: float, *, grad: bool = False) -> Tensor:
        return torch.tensor([value], dtype=torch.float64, requires_grad=grad)

    return PairErrors(
        policy_winner=one(winner, grad=True),
        reference_winner=one(0.1),
        policy_loser=one(loser, grad=True),
        reference_loser=one(0.1),
        mask_share=one(share),
        alignment=one(alignment),
    )


def run(name: str, found: PairErrors, **overrides: object) -> tuple[float, float, float]:
    """Loss, slope in the winner's error, slope in the loser's error."""
    method, settings = resolve(name, overrides)
    loss, _ = pair_losses(method.shape, found, settings)
    slopes = torch.autograd.grad(loss.sum(), [found.policy_winner, found.policy_loser], allow_unused=True)
    winner, loser = (0.0 if slope is None else slope.item() for slope in slopes)
    return loss.item(), winner, loser


def test_the_registry_is_what_this_file_covers() -> None:
    assert METHODS.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_start_of_every_method(name: str) -> None:
    """At delta 0: sft is the error itself, logistic shapes ln 2, margins 1; all push the winner's error down."""
    loss, winner, loser = run(name, errors(0.1, 0.1))
    shape = METHODS.get(name).shape
    assert loss == pytest.approx({"sft": 0.1, "logistic": math.log(2)}.get(shape, 1.0), abs=1e-12)
    assert winner > 0
    assert loser == 0 if shape == "sft" else loser < 0


def test_paper_values_by_hand() -> None:
    """E_w 0.098, E_l 0.103: delta = 0.002 + 0.003 = 0.005, half of tau: (0.5)^2, slopes +-2*(0.5)/0.01 = +-100."""
    assert run("asap", errors(0.098, 0.103)) == pytest.approx((0.25, 100.0, -100.0))
    assert run("asap", errors(0.098, 0.103), normalize=False) == pytest.approx((2.5e-5, 0.01, -0.01))


def test_margin_reached_has_no_gradient_and_beyond_it_the_hinge_lets_go() -> None:
    """delta = tau exactly, then 2*tau, where the square pulls the winner's error up and the hinge does nothing."""
    assert run("asap", errors(0.09, 0.10)) == pytest.approx((0, 0, 0), abs=1e-9)
    assert run("asap", errors(0.09, 0.11)) == pytest.approx((1.0, -200.0, 200.0))
    assert run("asap_hinge", errors(0.09, 0.11)) == pytest.approx((0, 0, 0), abs=1e-9)


def test_localized_shapes_are_the_plain_ones_on_weighted_errors() -> None:
    """Nothing but alpha separates dpo from localized_dpo and margin_dpo from asap, and alpha acts before the loss."""
    assert run("localized_dpo", errors(0.0999, 0.1001)) == run("dpo", errors(0.0999, 0.1001))
    assert run("asap", errors(0.098, 0.103)) == run("margin_dpo", errors(0.098, 0.103))
    assert METHODS.get("localized_dpo").settings == replace(METHODS.get("dpo").settings, alpha=10.0)
    assert METHODS.get("asap").settings == replace(METHODS.get("margin_dpo").settings, alpha=10.0)


def test_mask_of_ones_is_plain_dpo_with_a_larger_beta() -> None:
    """m = 1 everywhere: E = 11*E_plain, so beta/11 on the weighted errors is plain DPO with beta."""
    weighted = errors(0.098, 0.103)
    plain = PairErrors(
        **{
            key: (value / 11 if "er" in key else value).detach().requires_grad_("policy" in key)
            for key, value in vars(weighted).items()
        }
    )
    assert run("localized_dpo", weighted, beta=5000 / 11)[0] == pytest.approx(run("dpo", plain)[0])


def test_ipo_is_the_square_around_half_over_beta() -> None:
    """beta 50: the margin is 0.01; delta 0.005 gives (0.005 - 0.01)^2 / 0.01^2, as asap's own with tau 0.01."""
    assert run("ipo", errors(0.098, 0.103), beta=50.0) == pytest.approx((0.25, 100.0, -100.0))
    assert run("ipo", errors(0.098, 0.103), beta=50.0, normalize=False)[0] == pytest.approx((0.005 - 0.01) ** 2)


def test_numbers_say_the_slope_and_the_margin() -> None:
    assert numbers(*resolve("dpo", {"beta": 2500.0})) | {"k": 2500.0, "margin": None} == numbers(
        *resolve("dpo", {"beta": 2500.0})
    )
    assert numbers(*resolve("ipo", {}))["margin"] == 0.5 / 5000
    assert numbers(*resolve("asap", {"tau": 0.02}))["margin"] == 0.02


def test_guard_scales_the_losers_gradient_only() -> None:
    """alignment 4: the loser's slope is a quarter; value and winner's slope stay. Past tau the guard is off."""
    plain, guarded = run("asap", errors(0.098, 0.103)), run("asap_guard", errors(0.098, 0.103, alignment=4.0))
    assert guarded == pytest.approx((plain[0], plain[1], plain[2] / 4))
    assert run("asap_guard", errors(0.09, 0.11, alignment=4.0)) == pytest.approx((1.0, -200.0, 200.0))


def test_anchor_and_sft_add_in_units_of_the_margin() -> None:
    """E_w 0.102, E_l 0.107: delta 0.005 -> 0.25, rise 0.2 tau: anchor adds 4*0.2, sft adds 1*0.2."""
    assert run("asap_anchor", errors(0.102, 0.107)) == pytest.approx((1.05, 100 + 400, -100))
    assert run("asap_sft", errors(0.102, 0.107)) == pytest.approx((0.45, 100 + 100, -100))
    assert run("asap_anchor", errors(0.098, 0.103)) == pytest.approx(run("asap", errors(0.098, 0.103)))


def test_area_and_time_scale_delta() -> None:
    """Four times the typical mask, or twice the typical error (0.05 against 0.1): delta counts a quarter, a half."""
    assert run("asap_area", errors(0.098, 0.103, share=0.2))[0] == pytest.approx((0.005 / 4 / 0.01 - 1) ** 2)
    loss = run("asap_time", errors(0.098, 0.103), typical_error=0.05)[0]
    assert loss == pytest.approx((0.005 / 2 / 0.01 - 1) ** 2)


def test_resolve_reports_all_faults_together() -> None:
    with pytest.raises(ConfigError, match=r"alpha must be >= 0.*tau must be > 0"):
        resolve("asap", {"alpha": -1.0, "tau": 0.0})
    with pytest.raises(ConfigError, match="unknown loss settings gamma"):
        resolve("asap", {"gamma": 1.0})
    with pytest.raises(UnknownNameError, match="asap_hinge"):
        resolve("asp", {})
    assert resolve("asap", {"tau": None})[1] == LossSettings()


def test_gradcheck_of_whole_methods() -> None:
    for name in NAMES:
        method, settings = resolve(name, {"tau": 0.3, "beta": 2.0})
        # The guard is a gradient rule, not a derivative; finite differences see the loss without it.
        settings = replace(settings, guard=False)
        base = errors(0.1, 0.1)
        assert torch.autograd.gradcheck(
            lambda w, v, base=base, settings=settings, shape=method.shape: pair_losses(
                shape, replace(base, policy_winner=w, policy_loser=v), settings
            )[0],
            [torch.tensor([0.17], dtype=torch.float64, requires_grad=True) for _ in range(2)],
        )
