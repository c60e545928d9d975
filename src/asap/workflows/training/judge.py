"""Train the learned judge: rendered pairs, a round trip through a generator, then the training loop."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asap.backbones.family import device_named
from asap.benchmark.intervals import Estimate
from asap.benchmark.judge import (
    HELD_OUT,
    JudgeNetwork,
    JudgePairs,
    JudgeSpec,
    attribute_classes,
    predict,
    save_judge,
    stack,
)
from asap.benchmark.judge.attributes import fit_attributes
from asap.benchmark.judge.batches import Batcher
from asap.benchmark.judge.losses import judge_loss, window_loss
from asap.benchmark.judge.network import freeze_statistics
from asap.benchmark.judge.weights import halve
from asap.benchmark.ranking import auroc
from asap.core.errors import InputError
from asap.core.files import make_folder
from asap.core.hashing import digest
from asap.core.seeds import derive
from asap.stores.checkpoints import CheckpointStore
from asap.stores.config import claim
from asap.stores.pairs import PairStore
from asap.stores.trainlog import TrainLog
from asap.tensors.precision import precision
from asap.workflows.evaluation.learned import (
    ATTRIBUTES,
    LESSONS,
    STRENGTHS,
    judge_named,
    labelled,
    prepare,
    training_rows,
)
from asap.workflows.runtime.lineage import instruments_of, parent_of
from asap.workflows.training.loop import Loop, LoopSettings, LossTask, PeriodicEvaluation, Schedule

__all__ = ["JudgeTraining", "TrainedJudge", "specificity_threshold", "train", "train_judge"]

Report = Callable[[str], None]
CHUNK: Final = 64
"""Pairs read at a time."""
WARMUP: Final = 0.05
"""Share of the steps over which the learning rate rises."""
FLOOR: Final = 0.02
"""Share of the highest learning rate at the end."""
MAX_GRAD_NORM: Final = 2.0
LOG_EVERY: Final = 25
"""Steps between two rows of the log."""


@dataclass(frozen=True, kw_only=True)
class JudgeTraining:
    """Settings of the training loop of a judge."""

    window_epochs: float = 14.0
    """Passes over windows around the edit, before whole images are seen; 0: none."""
    epochs: float = 9.0
    """Passes over whole images."""
    batch: int = 32
    """Pairs per step."""
    learning_rate: float = 2e-3
    """At its highest."""
    weight_decay: float = 0.05
    specificity: float = 0.9
    """Share of correct images of the validation people that must pass; sets the threshold."""
    save_every: int = 200
    """Steps between two checkpoints."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainedJudge:
    """The network with the highest AUROC on the validation people."""

    network: JudgeNetwork
    threshold: float
    """Logit above which an image fails."""
    auroc: Estimate
    """On the validation people."""
    steps: int
    seconds: float
    """In the loop, over all sessions."""


def train(
    out: Path,
    *,
    pairs: Path,
    model: str = "mini",
    seed: int = 0,
    held_out: Sequence[str] = HELD_OUT,
    limit: int | None = None,
    rounded: int = 5000,
    validation: int = 800,
    settings: JudgeTraining | None = None,
    spec: JudgeSpec | None = None,
    plain_share: float = 0.4,
    strengths: tuple[float, float] = STRENGTHS,
    init: str | Path | None = None,
    device: str = "auto",
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Train a judge into ``out`` (weights, settings, log), or go on.

    Args:
        out: folder; working files are below ``out/work``.
        pairs: pair store of the namespace ``judge``, or ``rank`` for one that only ranks.
        model: generator of the round trip.
        seed: decides weights, order and noise.
        held_out: operations never trained on.
        limit: at most so many training pairs.
        rounded: at most so many of them take the generator's round trip and are seen whole; all are seen as rendered,
            in windows, which come blurred and noisy instead.
        validation: at most so many validation pairs.
        settings: of the loop; ``seed`` wins over theirs.
        spec: of the network; its attributes are read from the data.
        plain_share: share of training pairs that are only encoded and decoded.
        strengths: range of the round trip's time.
        init: a judge to go on from (``learned`` or a folder), whose network and attributes are kept.
        device: of torch, where generator and judge run; a GPU if there is one.
        report: is given a line now and then.

    Raises:
        InputError: pairs of another namespace, settings unlike those of an earlier run, or no device.
        StoreError: the pair store cannot be read.
        TrainingError: the loss is not a number.
    """
    spec, where = spec or JudgeSpec(), device_named(device)
    loop = JudgeTraining(**{**asdict(settings or JudgeTraining()), "seed": seed})
    trip = {"model": model, "held_out": held_out, "size": spec.size, "seed": seed, "strengths": strengths}
    trip |= {"device": where}
    near, learn, check = _lessons(pairs, out / "work", trip, plain_share, report, limit, rounded, validation)
    begin = None if init is None else judge_named(init, where)
    spec = begin.network.spec if begin else replace(spec, attributes=_classes(near))
    near, learn, check = (_columns(part, spec) for part in (near, learn, check))
    start, folder = begin.network if begin else None, out / "work" / "run"
    judge = train_judge(learn, check, spec, loop, folder=folder, windows=near, init=start, device=where)
    return _kept(out, judge, {
        "held_out": list(held_out), "model": model, "strengths": list(strengths), "plain_share": plain_share,
        "training": asdict(loop), "training_pairs": len(near), "rounded_pairs": len(learn),
        "init": begin.fingerprint if begin else None, **_origin(pairs),
    })  # fmt: skip


def _kept(out: Path, judge: TrainedJudge, notes: Mapping[str, object]) -> dict[str, Any]:
    """Write a judge that has been trained; returns what to report about it."""
    how = {"steps": judge.steps, "validation_auroc": judge.auroc.to_json(), "device": judge.network.device.type}
    name = save_judge(out, judge.network, judge.threshold, {**notes, **how})
    return {
        "judge": str(out), "fingerprint": name, "threshold": judge.threshold, "val_auroc": judge.auroc.to_json(),
        "steps": judge.steps, "seconds": judge.seconds,
    }  # fmt: skip


def _lessons(
    pairs: Path,
    work: Path,
    trip: Mapping[str, Any],
    plain_share: float,
    report: Report,
    limit: int | None,
    rounded: int,
    validation: int,
) -> tuple[JudgePairs, JudgePairs, JudgePairs]:
    """Training pairs as rendered, those of them that take the round trip, and validation pairs; see ``train``."""
    _own_people(pairs)
    near = _as_rendered(pairs, trip["held_out"], limit, trip["size"], report)
    count = min(rounded, len(near))
    learn = prepare(pairs, work / "train", split="train", limit=count, plain_share=plain_share, report=report, **trip)
    check = prepare(pairs, work / "val", split="val", limit=validation, report=report, **trip)
    _apart(near, check, pairs)
    return near, learn, check


def _origin(pairs: Path) -> dict[str, object]:
    """Which pairs a judge learned from, and what picked those."""
    parent, manifests = parent_of(pairs)
    return {"pairs": parent.content_hash, "training_people_gates": [asdict(i) for i in instruments_of(manifests)]}


def _own_people(pairs: Path) -> None:
    """Raise ``InputError`` unless the store shows people whom no model is aligned or tested with."""
    namespace = PairStore.open(pairs).manifest.config.get("namespace")
    if namespace not in LESSONS:
        raise InputError(
            f"a judge needs people of its own: a pair store of the identity pool {LESSONS[0]!r}, or {LESSONS[1]!r} "
            f"for a ranker; {pairs} has {namespace!r}; build one with "
            f"`asap pairs build rendered --identity-pool {LESSONS[0]}`"
        )


def _classes(pairs: JudgePairs) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The attributes that these pairs' captions say, with their values."""
    texts = [dict(zip(ATTRIBUTES, map(str, row[0]), strict=True)) for row in pairs.attributes]
    known = [{name: value for name, value in row.items() if value != "?"} for row in texts]
    return attribute_classes(known, ATTRIBUTES)


def _apart(learn: JudgePairs, check: JudgePairs, pairs: Path) -> None:
    """Raise ``InputError`` if a person is in both splits."""
    overlap = set(learn.fact("person")) & set(check.fact("person"))
    if overlap:
        raise InputError(f"{len(overlap)} people are in both train and val of {pairs}; build the store anew")


def _columns(pairs: JudgePairs, spec: JudgeSpec) -> JudgePairs:
    """The pairs with only the attributes of ``spec``."""
    columns = [ATTRIBUTES.index(name) for name, _ in spec.attributes]
    return JudgePairs(**{**vars(pairs), "attributes": pairs.attributes[:, :, columns]})


def _as_rendered(pairs: Path, held_out: Sequence[str], limit: int | None, size: int, report: Report) -> JudgePairs:
    """The training pairs as they are in the store."""
    store = PairStore.open(pairs, split="train")
    kept = training_rows(store, held_out, limit)
    report(f"reading {len(kept)} training pairs")
    chunks = (store.rows(kept[start : start + CHUNK]) for start in range(0, len(kept), CHUNK))
    return stack(labelled(row, row.chosen, row.rejected, size, ATTRIBUTES) for rows in chunks for row in rows)


def train_judge(
    train: JudgePairs,
    validation: JudgePairs,
    spec: JudgeSpec,
    settings: JudgeTraining,
    *,
    folder: Path,
    windows: JudgePairs | None = None,
    init: JudgeNetwork | None = None,
    device: str = "cpu",
) -> TrainedJudge:
    """Train a network in ``folder``, or resume; the log is ``log.jsonl`` there.

    Windows around the edits come first and at every scale. Whole images follow, seen at two scales; the statistics of
    the normalisation layers are learned on windows and then kept, so that both scales meet those of inference.

    Args:
        train: pairs seen whole.
        validation: pairs of other people; the weights with the highest AUROC on them are kept.
        spec: of the network.
        settings: of the loop.
        folder: of config, log and checkpoints.
        windows: pairs of which windows are seen first; None: those of ``train``.
        init: a network of the same spec to continue from; None: random weights.
        device: of torch; random numbers are drawn on the CPU, so a seed means the same on every device.

    Raises:
        InputError: a split is empty of what is needed, or the folder holds a run with other settings or is unwritable.
        TrainingError: the loss is not finite.
    """
    claim(make_folder(folder), "judge run", _identity(spec, settings, init))
    network = _network(spec, settings.seed, init, device)
    whole = Batcher(train, spec, settings.batch, settings.seed, device)
    near = Batcher(train if windows is None else windows, spec, settings.batch, settings.seed, device)
    task = _JudgeTask(network, near, whole, settings)
    total = max(1, task.window_steps + round(settings.epochs * whole.steps_per_epoch))
    best = _Best(network, validation, task.window_steps, whole.steps_per_epoch)
    loop = Loop(task, _loop_settings(settings, total))
    loop.run(
        CheckpointStore(folder / "checkpoints"), best, lambda done: TrainLog(folder / "log.jsonl", done=done, first=1)
    )
    network.load_state_dict(best.weights)
    fit_attributes(network, whole, settings.seed)
    network.load_state_dict({name: value.float() for name, value in halve(network).items()}, strict=False)
    failed, correct = _scores(network, validation)
    return TrainedJudge(
        network=network,
        threshold=specificity_threshold(correct, settings.specificity),
        auroc=auroc(failed, correct),
        steps=loop.done,
        seconds=loop.seconds,
    )


def _identity(spec: JudgeSpec, settings: JudgeTraining, init: JudgeNetwork | None) -> dict[str, object]:
    """What a rerun in the same folder must share: the settings, except how often it saves."""
    kept = {name: value for name, value in asdict(settings).items() if name != "save_every"}
    weights = None if init is None else digest(b"".join(v.cpu().numpy().tobytes() for v in init.state_dict().values()))
    return {"spec": spec.to_json(), **kept, "init": weights}


def _network(spec: JudgeSpec, seed: int, init: JudgeNetwork | None, device: str) -> JudgeNetwork:
    """With random weights, or those of ``init``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "judge-init"))
        network = JudgeNetwork(spec)
    if init is not None:
        network.load_state_dict(init.state_dict())
    # mypy knows no such overload of Module.to, though torch documents it.
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class _JudgeTask(LossTask):
    """The loss of windows, then of whole images."""

    def __init__(self, network: JudgeNetwork, near: Batcher, whole: Batcher, settings: JudgeTraining) -> None:
        rate, decay = settings.learning_rate, settings.weight_decay
        super().__init__(network, self._loss, torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay))
        self.network, self.near, self.whole, self.settings = network, near, whole, settings
        self.window_steps = round(settings.window_epochs * near.steps_per_epoch)

    def _loss(self, step: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        network, settings, on_windows = self.network, self.settings, step < self.window_steps
        network.train()
        if settings.window_epochs and not on_windows:
            freeze_statistics(network)
        images, targets = self.near.windows(step) if on_windows else self.whole.train(step)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(settings.seed, "judge-dropout", step))
            if on_windows:
                with precision(device=network.device):
                    features = network.at_scale(images)
                return window_loss(features, targets)
            with precision(device=network.device):
                output = network(images)
            return judge_loss(output, targets)


def _loop_settings(settings: JudgeTraining, total: int) -> LoopSettings:
    warmup = max(1, round(WARMUP * total))
    return LoopSettings(
        name="judge",
        steps=total,
        schedule=Schedule(lr=settings.learning_rate, warmup=warmup, decay=(warmup, total), floor=FLOOR),
        max_grad_norm=MAX_GRAD_NORM,
        images=2 * settings.batch,
        log_every=LOG_EVERY,
        checkpoint_every=settings.save_every,
    )


class _Best(PeriodicEvaluation):
    """Evaluates after every pass over whole images; keeps the weights with the highest AUROC, of equals the last."""

    def __init__(self, network: JudgeNetwork, validation: JudgePairs, window_steps: int, epoch: int) -> None:
        super().__init__(self._measure, lambda done: done > window_steps and (done - window_steps) % epoch == 0)
        self.network, self.validation = network, validation
        self.auroc, self.weights = -1.0, dict[str, Tensor]()

    def _measure(self, done: int) -> dict[str, float]:
        del done
        value = auroc(*_scores(self.network, self.validation)).value
        if value is None:
            raise InputError("the validation split has no defect or no correct image; build more pairs")
        if value >= self.auroc:
            self.auroc = value
            self.weights = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        return {"val_auroc": value}

    def state(self) -> dict[str, Any]:
        """Highest AUROC so far and its weights."""
        return {"auroc": self.auroc, "weights": self.weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what ``state`` returned."""
        self.auroc, self.weights = float(state["auroc"]), dict(state["weights"])


def _scores(network: JudgeNetwork, pairs: JudgePairs) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logits of images with a defect, and of correct ones (chosen and null edits)."""
    chosen, rejected = predict(network, pairs.chosen).score, predict(network, pairs.rejected).score
    defect = pairs.fails[:, 1] == 1
    return rejected[defect], np.concatenate([chosen, rejected[~defect]])


def specificity_threshold(correct: npt.NDArray[np.float32], specificity: float) -> float:
    """The smallest logit t such that at least ``specificity`` of the scores of correct images are <= t.

    Raises:
        InputError: there are no scores or the share is not in (0, 1].
    """
    if not len(correct) or not 0 < specificity <= 1:
        raise InputError(f"a threshold needs clean images and a share in (0, 1], got {len(correct)} and {specificity}")
    ordered = np.sort(correct)
    return float(ordered[math.ceil(specificity * len(ordered)) - 1])
