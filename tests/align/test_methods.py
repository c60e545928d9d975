"""The registry of methods and what each does to the same pair."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from asap.align.methods import METHODS, LossSettings, Method, PairErrors, describe, pair_losses, resolve_method
from asap.core.errors import ConfigError, UnknownNameError

SHAPES = {
    "sft": "sft",
    "dpo": "logistic",
    "asap": "squared",
    "localized_dpo": "logistic",
    "margin_dpo": "squared",
    "asap_hinge": "hinge",
    "ipo": "ipo",
}
"""The loss function of each method, by name: both names are stored in manifests."""
NAMES = tuple(SHAPES)
STARTS = {
    "sft": 0.1,
    "logistic": math.log(2),
}
"""Losses at delta 0 by the name of the loss function; 1 for all others."""
SETTINGS = {
    "alpha",
    "tau",
    "beta",
    "normalize",
    "scale",
    "typical_share",
    "anchor",
    "sft",
}
"""Keys of the settings in manifests: hashes of runs depend on them."""


def errors(chosen: float, rejected: float, *, share: float = 0.05, reference: float = 0.1) -> PairErrors:
    """One pair whose reference errors are equal on both sides."""

    def one(value: float, *, grad: bool = False) -> Tensor:
        return torch.tensor([value], dtype=torch.float64, requires_grad=grad)

    return PairErrors(
        policy_chosen=one(chosen, grad=True),
        reference_chosen=one(reference),
        policy_rejected=one(rejected, grad=True),
        reference_rejected=one(reference),
        mask_share=one(share),
    )


def run(name: str, found: PairErrors, **overrides: object) -> tuple[float, float, float]:
    """Loss, and its derivatives by the chosen and the rejected error; the margin is absolute unless asked otherwise."""
    overrides = {"scale": "none", **overrides}
    loss = pair_losses(*with_errors(name, found, overrides)).loss
    derivatives = torch.autograd.grad(loss.sum(), [found.policy_chosen, found.policy_rejected], allow_unused=True)
    chosen, rejected = (0.0 if value is None else value.item() for value in derivatives)
    return loss.item(), chosen, rejected


def with_errors(name: str, found: PairErrors, overrides: dict[str, object]) -> tuple[Method, PairErrors, LossSettings]:
    method, settings = resolve_method(name, overrides)
    return method, found, settings


def test_the_registry_is_what_this_file_covers() -> None:
    assert METHODS.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_start_of_every_method(name: str) -> None:
    """At delta 0: sft is the error itself, logistic losses ln 2, margin losses 1; all push the chosen error down."""
    loss, chosen, rejected = run(name, errors(0.1, 0.1))
    shape = METHODS.get(name).shape
    assert loss == pytest.approx(STARTS.get(shape, 1.0), abs=1e-12)
    assert chosen > 0
    assert rejected == 0 if shape == "sft" else rejected < 0


def test_paper_values_by_hand() -> None:
    """E_w 0.098, E_l 0.103: delta = 0.002 + 0.003 = 0.005, half of tau: (0.5)^2, derivatives +-2*(0.5)/0.01 = +-100."""
    assert run("asap", errors(0.098, 0.103)) == pytest.approx((0.25, 100.0, -100.0))
    assert run("asap", errors(0.098, 0.103), normalize=False) == pytest.approx((2.5e-5, 0.01, -0.01))


def test_margin_reached_has_no_gradient_and_beyond_it_the_hinge_lets_go() -> None:
    """delta = tau exactly, then 2*tau, where the square pulls the chosen error up and the hinge does nothing."""
    assert run("asap", errors(0.09, 0.10)) == pytest.approx((0, 0, 0), abs=1e-9)
    assert run("asap", errors(0.09, 0.11)) == pytest.approx((1.0, -200.0, 200.0))
    assert run("asap_hinge", errors(0.09, 0.11)) == pytest.approx((0, 0, 0), abs=1e-9)


def test_localized_shapes_are_the_plain_ones_on_weighted_errors() -> None:
    """Nothing but alpha separates dpo from localized_dpo and margin_dpo from asap, and alpha acts before the loss."""
    assert run("localized_dpo", errors(0.0999, 0.1001)) == run("dpo", errors(0.0999, 0.1001))
    assert run("asap", errors(0.098, 0.103)) == run("margin_dpo", errors(0.098, 0.103))
    assert run("asap", errors(0.098, 0.103), scale="reference") == run(
        "margin_dpo", errors(0.098, 0.103), scale="reference"
    )
    assert METHODS.get("localized_dpo").settings == replace(METHODS.get("dpo").settings, alpha=10.0)
    assert METHODS.get("asap").settings == replace(METHODS.get("margin_dpo").settings, alpha=10.0)


def test_mask_of_ones_is_plain_dpo_with_a_larger_beta() -> None:
    """m = 1 everywhere: E = 11*E_plain, so beta/11 on the weighted errors is plain DPO with beta."""
    weighted = errors(0.098, 0.103)
    plain = PairErrors(
        **{
            key: (value / 11 if key != "mask_share" else value).detach().requires_grad_("policy" in key)
            for key, value in vars(weighted).items()
        }
    )
    assert run("localized_dpo", weighted, beta=5000 / 11)[0] == pytest.approx(run("dpo", plain)[0])


def test_ipo_is_the_square_around_half_over_beta() -> None:
    """beta 50: the margin is 0.01; delta 0.005 gives (0.005 - 0.01)^2 / 0.01^2, as asap with tau 0.01."""
    assert run("ipo", errors(0.098, 0.103), beta=50.0) == pytest.approx((0.25, 100.0, -100.0))
    assert run("ipo", errors(0.098, 0.103), beta=50.0, normalize=False)[0] == pytest.approx((0.005 - 0.01) ** 2)


def test_the_description_has_the_slope_and_the_margin() -> None:
    dpo = describe(*resolve_method("dpo", {"beta": 2500.0}))
    assert (dpo["k"], dpo["margin"]) == (2500.0, None)
    assert describe(*resolve_method("ipo", {}))["margin"] == 0.5 / 5000
    assert describe(*resolve_method("asap", {"target_margin": 0.02}))["margin"] == 0.02
    assert describe(*resolve_method("asap", {}))["margin"] == 0.05
    assert describe(*resolve_method("asap", {"scale": "none"}))["margin"] == 0.01
    assert describe(*resolve_method("sft", {}))["margin"] is None


def test_stored_keys() -> None:
    """Hashes of runs depend on them."""
    assert list(describe(*resolve_method("asap", {}))) == [
        "method", "shape", "alpha", "k", "margin", "normalize", "scale", "anchor", "sft",
    ]  # fmt: skip
    assert {name: METHODS.get(name).shape for name in METHODS.names()} == SHAPES
    assert set(LossSettings().config()) == SETTINGS


def test_anchor_and_sft_add_in_units_of_the_margin() -> None:
    """E_w 0.102, E_l 0.107: delta 0.005 -> 0.25, rise 0.2 tau: anchor adds 4*0.2, sft adds 1*0.2."""
    assert run("asap", errors(0.102, 0.107), anchor=4.0) == pytest.approx((1.05, 100 + 400, -100))
    assert run("asap", errors(0.102, 0.107), sft=1.0) == pytest.approx((0.45, 100 + 100, -100))
    assert run("asap", errors(0.098, 0.103), anchor=4.0) == pytest.approx(run("asap", errors(0.098, 0.103)))


def test_area_and_reference_scale_delta() -> None:
    """Four times the typical mask: delta counts a quarter. Reference errors of 0.1: 0.005 is 5 %, the margin."""
    assert run("asap", errors(0.098, 0.103, share=0.2), scale="area")[0] == pytest.approx((0.005 / 4 / 0.01 - 1) ** 2)
    for name in ("asap", "asap_hinge", "margin_dpo"):
        assert run(name, errors(0.098, 0.103), scale="reference") == pytest.approx((0, 0, 0), abs=1e-9)
    assert run("asap", errors(0.099, 0.1015), scale="reference") == pytest.approx((0.25, 200.0, -200.0))


def test_a_relative_margin_has_no_unit() -> None:
    """All errors ten times as large, as in another family: same loss, and derivatives that are ten times as small."""
    found, larger = errors(0.098, 0.103), errors(0.98, 1.03, reference=1.0)
    for name in ("asap", "asap_hinge", "margin_dpo"):
        loss, chosen, rejected = run(name, found, scale="reference", target_margin=0.1)
        assert run(name, larger, scale="reference", target_margin=0.1) == pytest.approx(
            (loss, chosen / 10, rejected / 10)
        )


def test_the_margin_follows_the_scale_unless_it_is_given() -> None:
    def margins(name: str, **given: object) -> tuple[str, float]:
        settings = resolve_method(name, given)[1]
        return settings.scale, settings.target_margin

    assert margins("asap") == margins("asap", scale="reference") == ("reference", 0.05)
    assert margins("asap", scale="none") == ("none", 0.01)
    assert margins("asap", scale="area") == ("area", 0.01)
    assert margins("asap", scale="none", target_margin=0.2) == ("none", 0.2)
    assert margins("dpo") == ("none", 0.01)
    assert margins("dpo", scale="reference") == ("reference", 0.05)


def test_resolve_reports_all_faults_together() -> None:
    with pytest.raises(ConfigError, match=r"alpha must be >= 0.*target_margin must be > 0"):
        resolve_method("asap", {"alpha": -1.0, "target_margin": 0.0})
    with pytest.raises(ConfigError, match="unknown loss settings gamma"):
        resolve_method("asap", {"gamma": 1.0})
    with pytest.raises(UnknownNameError, match="asap_hinge"):
        resolve_method("asp", {})
    assert resolve_method("asap", {"target_margin": None})[1] == METHODS.get("asap").settings


@pytest.mark.parametrize("more", [{}, {"anchor": 4.0}, {"sft": 1.0}, {"scale": "area"}, {"scale": "reference"}])
def test_gradcheck_of_whole_methods(more: dict[str, object]) -> None:
    for name in NAMES:
        method, settings = resolve_method(name, {"target_margin": 0.3, "beta": 2.0, **more})
        base = errors(0.1, 0.1)
        assert torch.autograd.gradcheck(
            lambda w, v, base=base, settings=settings, method=method: (
                pair_losses(method, replace(base, policy_chosen=w, policy_rejected=v), settings).loss
            ),
            [torch.tensor([0.17], dtype=torch.float64, requires_grad=True) for _ in range(2)],
        )
