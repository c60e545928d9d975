"""The objectives of alignment as pure functions of four errors per pair; the caller takes the mean over pairs.

Legend: B pairs, D samples of (noise, timestep) per pair, C h w a latent, N = C*h*w.

A pair has a chosen image w and a rejected image l, one mask m in [0, 1], and for each sample one noise and one timestep
t for both. With W = 1 + alpha*m, the error of a side i is (Phase II of arXiv:2605.25759)

    E^i = (1/N) sum W * (prediction(x_t^i, t, c) - target^i)^2          policy: E_theta, frozen reference: E_ref
    delta = (E_ref^w - E_theta^w) - (E_ref^l - E_theta^l)               > 0: the policy improved more on w

Everything nonlinear acts on delta of one pair, after the mean over its samples and before the mean over pairs.
"""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "anchor_penalty",
    "area_scale",
    "hinge_margin_loss",
    "logistic_loss",
    "margin",
    "reference_scale",
    "squared_margin_loss",
    "weighted_error",
]


def weighted_error(plain: Tensor, masked: Tensor, alpha: float) -> Tensor:
    """E = (1/N) sum (1 + alpha*m) r^2 from its two parts.

    Args:
        plain: mean of r^2 over all N elements, any shape.
        masked: mean of m*r^2 over all N elements (divided by N, not by the mask's size), same shape.
        alpha: extra weight inside the mask, >= 0; the paper uses 10, plain DPO 0.

    Returns:
        Weighted errors, same shape.
    """
    return plain + alpha * masked


def margin(
    policy_chosen: Tensor, reference_chosen: Tensor, policy_rejected: Tensor, reference_rejected: Tensor
) -> Tensor:
    """Delta, from four errors of one shape; 0 where policy and reference agree."""
    return (reference_chosen - policy_chosen) - (reference_rejected - policy_rejected)


def logistic_loss(delta: Tensor, beta: float) -> Tensor:
    """Diffusion-DPO: -log sigmoid(beta * delta), (B,) -> (B,).

    Eq. 14 of arXiv:2311.12908 with beta*T*omega folded into one ``beta`` and mean reduction over the N elements; the
    baseline of arXiv:2605.25759 has beta 5000 and alpha 0. ln 2 at delta = 0; slope -beta * sigmoid(-beta*delta),
    which never reaches 0, so delta is unbounded.
    """
    return -functional.logsigmoid(beta * delta)


def squared_margin_loss(delta: Tensor, tau: float | Tensor, *, normalize: bool = True) -> Tensor:
    """The paper's objective, (delta - tau)^2 (tau 0.01), (B,) -> (B,); slope 0 at delta = tau and reversed beyond.

    Args:
        delta: margins (B,).
        tau: the margin asked for, > 0, a number or (B,).
        normalize: divide by tau^2, that is (delta/tau - 1)^2: same minimiser, 1 at delta = 0. The constant only
            rescales the learning rate, and under Adam not even that, whose steps do not depend on the gradient's
            scale (as long as gradients are not clipped, and Adam's epsilon is small beside them, which the division
            helps). With tau per pair it is a weight per pair, and no constant.
    """
    return (delta / tau - 1).square() if normalize else (delta - tau).square()


def hinge_margin_loss(delta: Tensor, tau: float | Tensor, *, normalize: bool = True) -> Tensor:
    """One-sided form (ours): relu(tau - delta)^2, zero loss and zero gradient from tau on.

    The squared loss pulls a pair beyond tau back, which asks the policy to get worse on the chosen side or better on
    the rejected one; this loss does not. ``normalize`` divides by tau^2 as in ``squared_margin_loss``.
    """
    return functional.relu(1 - delta / tau).square() if normalize else functional.relu(tau - delta).square()


def area_scale(mask_share: Tensor, typical_share: float) -> Tensor:
    """How much larger than typical a pair's delta is because of its mask's size, (B,) -> (B,), 1 at the typical size.

    If the two error gaps differ by d inside the mask and by 0 outside, delta = (1 + alpha) * f * d with f the masked
    share. Dividing delta by f / f_typical makes tau ask for the same d in a large mask and a small one. Floored at
    0.1, so that a mask of a few cells cannot outweigh ten pairs; 1 where the mask is empty (equal pairs).

    Args:
        mask_share: f in [0, 1], mean of m over the latent.
        typical_share: f_typical in (0, 1].
    """
    scale = (mask_share / typical_share).clamp(min=0.1)
    return torch.where(mask_share > 0, scale, torch.ones_like(scale))


def reference_scale(reference_chosen: Tensor, reference_rejected: Tensor) -> Tensor:
    """The reference's error at a pair's draws of noise and timestep, mean of both sides, (B,) -> (B,), no gradient.

    delta / scale has no unit: tau is the share of its error by which the policy is to improve more on the chosen side.
    The error of a denoiser spans more than a factor ten over t and between families, so one absolute tau asks nearly
    nothing at some times and more than all at others. Floored at 0.001, so that a draw without noise cannot dominate.
    """
    return (0.5 * (reference_chosen + reference_rejected)).detach().clamp(min=1e-3)


def anchor_penalty(policy_chosen: Tensor, reference_chosen: Tensor, unit: float | Tensor) -> Tensor:
    """relu(E_theta^w - E_ref^w) / unit, (B,): how much worse than the reference the policy is on w, in margins.

    Bound. Let raising the error of w by rho*tau raise that of l by kappa*rho*tau, so that delta grows although both
    get worse. Then delta = (kappa - 1)*rho*tau, and with weight a the loss ((kappa - 1)*rho - 1)^2 + a*rho has its
    minimum at rho = max(0, (kappa - 1 - a/2) / (kappa - 1)^2). So this pays only if the error of l grows more than
    1 + a/2 times as fast as that of w, and at the worst kappa (kappa - 1 = a) the error of w rises by tau / (2a).
    """
    return functional.relu(policy_chosen - reference_chosen) / unit
