"""Asking the judge: images to logits, logits to verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from asap.benchmark.judge.batches import to_tensor
from asap.benchmark.judge.dataset import resize
from asap.benchmark.judge.network import JudgeNetwork
from asap.benchmark.verdict import Verdict
from asap.core.vocabulary import PARTS
from asap.tensors.precision import precision

__all__ = ["Predictions", "Verdict", "predict", "verdicts"]

Floats = npt.NDArray[np.float32]

SHIFTS: Final = ((0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Rows and columns by which an image is moved: a network of strides says other things of a hand one pixel further."""
SEEN: Final = 0.5
MIN_PERSON: Final = 0.004
"""Mean person probability over the image under which nobody is there and the image is not scored."""
NOBODY: Final = "no person found"


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the judge says of N images."""

    score: Floats
    """(N,) logit of wrong anatomy."""
    visible: Floats
    """(N, P) probabilities."""
    wrong: Floats
    """(N, P) probabilities."""
    person: Floats
    """(N, S / 8, S / 8) probability that a person is there."""
    attributes: dict[str, list[str]]
    """N predicted classes for each attribute."""


@torch.inference_mode()
def predict(network: JudgeNetwork, images: npt.NDArray[np.uint8], *, batch: int = 64) -> Predictions:
    """Judge images (N, H, W, 3); the logits are averaged over ``SHIFTS``, as they are and mirrored."""
    network.eval()
    size, rows = network.spec.size, []
    for start in range(0, len(images), batch):
        part = np.stack([resize(image, size) for image in images[start : start + batch]])
        rows.append(_logits(network, part))
    grid = size // 8
    empty = {"score": (0,), "visible": (0, len(PARTS)), "wrong": (0, len(PARTS)), "person": (0, grid, grid)}
    table = {
        name: np.concatenate([row[name] for row in rows]) if rows else np.zeros(shape, np.float32)
        for name, shape in empty.items()
    }
    labels = {
        name: [classes[place] for row in rows for place in row[f"attribute:{name}"].argmax(1)]
        for name, classes in network.spec.attributes
    }
    return Predictions(attributes=labels, **table)


def _logits(network: JudgeNetwork, images: npt.NDArray[np.uint8]) -> dict[str, Floats]:
    """Numpy arrays of one batch; probabilities except for the score."""
    tensor = to_tensor(torch.from_numpy(images).to(network.device))
    views = [_view_logits(network, view, mirrored=mirrored) for view in _moved(tensor) for mirrored in (False, True)]
    mean = {name: torch.stack([one[name] for one in views]).mean(0) for name in views[0]}
    mean["person"] = F.avg_pool2d(mean["person"].sigmoid(), 2)
    for name in ("visible", "wrong"):
        mean[name] = mean[name].sigmoid()
    return {name: value.float().cpu().numpy() for name, value in mean.items()}


def _moved(tensor: Tensor) -> Iterator[Tensor]:
    """(B, 3, S, S) once for each of ``SHIFTS``; what an image leaves at its border is the border's colour."""
    wide, (height, width) = F.pad(tensor, (1, 1, 1, 1), mode="replicate"), tensor.shape[2:]
    for down, right in SHIFTS:
        yield wide[:, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width]


def _view_logits(network: JudgeNetwork, images: Tensor, *, mirrored: bool) -> dict[str, Tensor]:
    """Logits of one view, the person's map the right way round."""
    with precision(device=network.device):
        found = network(images.flip(3) if mirrored else images)
    out = {"score": found.fails, "visible": found.visible, "wrong": found.wrong}
    out["person"] = found.person.flip(2) if mirrored else found.person
    for name, logits in found.attributes.items():
        out[f"attribute:{name}"] = F.log_softmax(logits, 1)
    return {name: value.float() for name, value in out.items()}


def verdicts(predictions: Predictions, threshold: float, expected: Sequence[Sequence[str]]) -> list[Verdict]:
    """One verdict per image; ``expected`` are the parts that each image's prompt asks to see."""
    found = []
    for row, wanted in enumerate(expected):
        visible = dict(zip(PARTS, predictions.visible[row].tolist(), strict=True))
        wrong = dict(zip(PARTS, predictions.wrong[row].tolist(), strict=True))
        nobody = max(visible.values()) < SEEN and float(predictions.person[row].mean()) < MIN_PERSON
        score = float(predictions.score[row])
        found.append(
            Verdict(
                fails=None if nobody else score > threshold,
                probability=float(1 / (1 + np.exp(-score))),
                parts={part: {"visible": visible[part], "wrong": wrong[part]} for part in PARTS},
                not_visible=tuple(part for part in wanted if visible[part] < SEEN),
                attributes=_row(predictions.attributes, row),
                reason=NOBODY if nobody else "",
                person=predictions.person[row],
            )
        )
    return found


def _row(table: Mapping[str, Sequence[str]], row: int) -> dict[str, str]:
    """One image's attributes."""
    return {name: values[row] for name, values in table.items()}
