"""The judge on disk: ``judge.safetensors`` (half precision), ``judge.json``, and ``calibration.json`` beside them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import torch
from safetensors.torch import load, save

from asap.benchmark.judge.network import JudgeNetwork, JudgeSpec
from asap.core.errors import StoreError
from asap.core.files import read_json, write_bytes, write_json
from asap.core.hashing import digest, digest_json

__all__ = [
    "CALIBRATION",
    "PACKAGED",
    "StoredJudge",
    "fingerprint",
    "halve",
    "judge_folder",
    "load_judge",
    "read_calibration",
    "save_judge",
]

PACKAGED: Final = Path(__file__).parent / "weights"
RANKER: Final = Path(__file__).parent / "ranker" / "weights"
WEIGHTS: Final = "judge.safetensors"
SETTINGS: Final = "judge.json"
CALIBRATION: Final = "calibration.json"


@dataclass(frozen=True, kw_only=True)
class StoredJudge:
    """A judge as read: network in evaluation mode, threshold on the verdict's logit, fingerprint, settings."""

    network: JudgeNetwork
    threshold: float
    fingerprint: str
    settings: Mapping[str, Any]


def judge_folder(name: str | Path) -> Path:
    """``learned`` is the packaged judge, ``ranker`` the packaged screen of a model's tries, anything else a folder."""
    return {"learned": PACKAGED, "ranker": RANKER}.get(str(name)) or Path(name)


def halve(network: JudgeNetwork) -> dict[str, torch.Tensor]:
    """Learned weights in half precision; the running statistics, a few kilobytes, keep theirs."""
    learned = {name for name, _ in network.named_parameters()}
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    return {name: value.half() if name in learned else value.float() for name, value in state.items()}


def fingerprint(weights: bytes, spec: JudgeSpec, threshold: float) -> str:
    """Hash of all that decides a verdict."""
    return digest_json({"weights": digest(weights), "spec": spec.to_json(), "threshold": threshold})


def save_judge(folder: Path, network: JudgeNetwork, threshold: float, notes: Mapping[str, object]) -> str:
    """Write weights and settings; returns the fingerprint. A calibration of older weights beside them is removed.

    Raises:
        InputError: the folder cannot be written.
    """
    data = save({name: value.contiguous() for name, value in halve(network).items()})
    name = fingerprint(data, network.spec, threshold)
    write_bytes(folder / WEIGHTS, data)
    settings = {"spec": network.spec.to_json(), "threshold": threshold, "fingerprint": name, "notes": dict(notes)}
    write_json(folder / SETTINGS, settings)
    stale = folder / CALIBRATION
    if stale.exists() and json.loads(stale.read_bytes()).get("fingerprint") != name:
        stale.unlink()
    return name


def load_judge(folder: Path) -> StoredJudge:
    """Read what ``save_judge`` wrote.

    Raises:
        StoreError: nothing is there, or weights and settings do not belong together.
    """
    settings = cast("dict[str, Any]", read_json(folder / SETTINGS))
    try:
        data = (folder / WEIGHTS).read_bytes()
        spec, threshold = JudgeSpec.from_json(settings["spec"]), float(settings["threshold"])
        stored = str(settings["fingerprint"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{folder} holds no whole judge ({error}); train one with `asap judge train`") from error
    if fingerprint(data, spec, threshold) != stored:
        raise StoreError(f"the judge in {folder} does not match its fingerprint; download or train it again")
    network = JudgeNetwork(spec)
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    try:
        network.load_state_dict({**counters, **{name: value.float() for name, value in load(data).items()}})
    except RuntimeError as error:
        raise StoreError(f"the judge in {folder} has other layers than its settings say; train it again") from error
    return StoredJudge(network=network.eval(), threshold=threshold, fingerprint=stored, settings=settings)


def read_calibration(folder: Path, judge: str) -> dict[str, Any]:
    """The calibration of the judge with that fingerprint.

    Raises:
        StoreError: it is missing or belongs to other weights.
    """
    value = cast("dict[str, Any]", read_json(folder / CALIBRATION))
    if value.get("fingerprint") != judge:
        raise StoreError(f"the calibration in {folder} is of another judge; run `asap judge calibrate`")
    return value
