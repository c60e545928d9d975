"""Hand-worked values, gradients against finite differences, and limits of the pure losses."""

import math

import pytest
import torch
from torch import Tensor

from asap.align.loss import (
    anchor_penalty,
    area_scale,
    hinge_margin_loss,
    logistic_loss,
    margin,
    reference_scale,
    squared_margin_loss,
    weighted_error,
)


def f64(*values: float, grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def test_weighted_error_counts_masked_cells_eleven_times() -> None:
    """N = 4 cells with r^2 = 1, 2, 3, 4, mask on the last, alpha 10: (1 + 2 + 3 + 11*4) / 4 = 12.5."""
    square, mask = f64(1, 2, 3, 4), f64(0, 0, 0, 1)
    assert weighted_error(square.mean(), (square * mask).mean(), 10.0).item() == 12.5


def test_margin_sign() -> None:
    """Chosen improved by 0.03, rejected by 0.01: delta = 0.02. Chosen worse by 0.01, rejected by 0.04: delta = 0.03."""
    delta = margin(f64(0.10, 0.14), f64(0.13, 0.13), f64(0.19, 0.24), f64(0.20, 0.20))
    torch.testing.assert_close(delta, f64(0.02, 0.03))


def test_logistic_values_and_slope() -> None:
    """At delta 0: ln 2, slope -beta/2. At beta*delta = 5: ln(1 + e^-5)."""
    delta = f64(0.0, 0.001, grad=True)
    loss = logistic_loss(delta, 5000.0)
    torch.testing.assert_close(loss, f64(math.log(2), math.log1p(math.exp(-5))))
    loss.sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(delta.grad, f64(-2500.0, -5000.0 / (1 + math.exp(5))))


def test_logistic_loses_its_pull_as_beta_falls() -> None:
    """beta -> 0: the loss goes to ln 2 and its slope to 0, whatever delta."""
    delta = f64(-3.0, 3.0, grad=True)
    loss = logistic_loss(delta, 1e-9)
    torch.testing.assert_close(loss, f64(math.log(2), math.log(2)))
    (slope,) = torch.autograd.grad(loss.sum(), delta)
    assert slope.abs().max() < 1e-8


def test_squared_margin_is_the_papers_formula() -> None:
    """tau 0.01: delta 0 -> 1e-4 with slope -0.02, delta tau -> 0 with slope 0, delta 0.03 -> 4e-4 with slope +0.04."""
    delta = f64(0.0, 0.01, 0.03, grad=True)
    loss = squared_margin_loss(delta, 0.01, normalize=False)
    torch.testing.assert_close(loss, f64(1e-4, 0.0, 4e-4))
    (slope,) = torch.autograd.grad(loss.sum(), delta)
    torch.testing.assert_close(slope, f64(-0.02, 0.0, 0.04))


def test_normalized_margin_is_the_papers_over_tau_squared() -> None:
    delta = f64(-0.02, 0.0, 0.004, 0.01, 0.05)
    exact = squared_margin_loss(delta, 0.01, normalize=False)
    torch.testing.assert_close(squared_margin_loss(delta, 0.01), exact / 1e-4)
    assert squared_margin_loss(delta, 0.01)[1].item() == 1.0
    torch.testing.assert_close(hinge_margin_loss(delta, 0.01), hinge_margin_loss(delta, 0.01, normalize=False) / 1e-4)


def test_hinge_is_the_square_below_tau_and_nothing_beyond() -> None:
    delta = f64(-0.01, 0.0, 0.01, 0.02, grad=True)
    loss = hinge_margin_loss(delta, 0.01)
    torch.testing.assert_close(loss, f64(4.0, 1.0, 0.0, 0.0))
    (slope,) = torch.autograd.grad(loss.sum(), delta)
    torch.testing.assert_close(slope, f64(-400.0, -200.0, 0.0, 0.0))


def test_area_scale_makes_tau_independent_of_mask_size() -> None:
    """The same gap d = 0.004 inside masks of share 0.05 and 0.2, alpha 10: 11*f*d differs by 4, scaled it does not."""
    share = f64(0.05, 0.2)
    delta = 11 * share * 0.004
    scaled = delta / area_scale(share, 0.05)
    torch.testing.assert_close(scaled, f64(0.0022, 0.0022))


def test_area_scale_of_empty_and_tiny_masks() -> None:
    torch.testing.assert_close(area_scale(f64(0.0, 0.0001, 0.05), 0.05), f64(1.0, 0.1, 1.0))


def test_reference_scale_is_the_mean_of_both_sides() -> None:
    """Errors 0.05 and 0.15 have mean 0.1; nothing goes below 0.001, and no gradient goes through."""
    scale = reference_scale(f64(0.05, 0.4, 0.0, grad=True), f64(0.15, 0.4, 0.0))
    torch.testing.assert_close(scale, f64(0.1, 0.4, 0.001))
    assert not scale.requires_grad


def test_anchor_charges_only_a_rise() -> None:
    """Rise 0.005 in units of 0.01: 0.5. A fall costs nothing and has no gradient."""
    policy = f64(0.105, 0.09, grad=True)
    penalty = anchor_penalty(policy, f64(0.1, 0.1), 0.01)
    torch.testing.assert_close(penalty, f64(0.5, 0.0))
    (slope,) = torch.autograd.grad(penalty.sum(), policy)
    torch.testing.assert_close(slope, f64(100.0, 0.0))


@pytest.mark.parametrize(("kappa", "weight"), [(2.0, 4.0), (3.5, 4.0), (5.0, 4.0), (9.0, 4.0), (2.0, 1.0), (30.0, 8.0)])
def test_anchor_bounds_the_rise(kappa: float, weight: float) -> None:
    """The docstring's minimum, found by search over rho, and its bound 1 / (2a) on the rise of E_w in taus."""
    rho = torch.linspace(0, 2, 200_001, dtype=torch.float64)
    delta = (kappa - 1) * rho * 0.01
    loss = squared_margin_loss(delta, 0.01) + weight * anchor_penalty(0.1 + rho * 0.01, torch.tensor(0.1), 0.01)
    found = rho[loss.argmin()].item()
    expected = max(0.0, (kappa - 1 - weight / 2) / (kappa - 1) ** 2)
    assert found == pytest.approx(expected, abs=2e-5)
    assert found <= 1 / (2 * weight) + 2e-5


def test_gradcheck_of_every_shape() -> None:
    delta = f64(-0.7, 0.2, 0.9, 1.8, grad=True)
    assert torch.autograd.gradcheck(lambda d: logistic_loss(d, 3.0), delta)
    assert torch.autograd.gradcheck(lambda d: squared_margin_loss(d, 0.5), delta)
    assert torch.autograd.gradcheck(lambda d: squared_margin_loss(d, 0.5, normalize=False), delta)
    assert torch.autograd.gradcheck(lambda d: hinge_margin_loss(d, 0.5), delta)
    assert torch.autograd.gradcheck(lambda d: anchor_penalty(d, torch.zeros_like(d), 0.5), delta)
    sides = [f64(0.3, 0.6, grad=True) for _ in range(4)]
    assert torch.autograd.gradcheck(margin, sides)
