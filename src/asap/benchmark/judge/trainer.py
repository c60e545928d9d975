"""Training the judge: a plain loop whose every step depends on the seed and its number alone, so it can be resumed."""

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from asap.benchmark.intervals import Estimate
from asap.benchmark.judge.attributes import fit_attributes
from asap.benchmark.judge.batches import Batcher
from asap.benchmark.judge.dataset import JudgePairs
from asap.benchmark.judge.losses import Targets, judge_loss, window_loss
from asap.benchmark.judge.network import JudgeNetwork, JudgeSpec, freeze_statistics
from asap.benchmark.judge.predict import predict
from asap.benchmark.judge.weights import halve
from asap.benchmark.ranking import auroc
from asap.core.errors import InputError, StoreError, TrainingError
from asap.core.files import append_text, make_folder, write_bytes
from asap.core.hashing import digest, digest_json
from asap.core.seeds import derive
from asap.tensors.precision import precision

__all__ = ["JudgeTraining", "TrainedJudge", "specificity_threshold", "train_judge"]

STATE: Final = "state.pt"
LOG: Final = "log.jsonl"
WARMUP: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class JudgeTraining:
    """Settings of the loop."""

    window_epochs: float = 14.0
    """Passes over windows around what was edited, before whole images are seen; 0 leaves them out."""
    epochs: float = 9.0
    """Passes over whole images."""
    batch: int = 32
    """Pairs a step."""
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    specificity: float = 0.9
    """Share of right images of the validation people that must pass; sets the threshold."""
    save_every: int = 200
    """Steps between saved states."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrainedJudge:
    """The best network by validation AUROC, and how it got there."""

    network: JudgeNetwork
    threshold: float
    auroc: Estimate
    steps: int
    seconds: float
    images_per_second: float


def specificity_threshold(clean: npt.NDArray[np.float32], specificity: float) -> float:
    """The smallest logit t such that at least ``specificity`` of the clean scores are <= t.

    Raises:
        InputError: there are no clean scores or the share is not in (0, 1].
    """
    if not len(clean) or not 0 < specificity <= 1:
        raise InputError(f"a threshold needs clean images and a share in (0, 1], got {len(clean)} and {specificity}")
    ordered = np.sort(clean)
    return float(ordered[math.ceil(specificity * len(ordered)) - 1])


def _rate(step: int, total: int, peak: float) -> float:
    """Linear warm-up, then half a cosine to 2 % of the peak."""
    warm = max(1, round(WARMUP * total))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm))))


class _Run:
    """One training run: network, optimizer, place, best so far; saved whole."""

    def __init__(
        self, spec: JudgeSpec, settings: JudgeTraining, folder: Path, init: JudgeNetwork | None, device: str
    ) -> None:
        self.settings, self.folder = settings, folder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(settings.seed, "judge-init"))
            self.network = JudgeNetwork(spec)
        begin: dict[str, str] = {}
        if init is not None:
            self.network.load_state_dict(init.state_dict())
            begin = {"init": digest(b"".join(value.cpu().numpy().tobytes() for value in init.state_dict().values()))}
        # mypy knows no such overload of Module.to, though torch documents it.
        self.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.step, self.seconds, self.best = 0, 0.0, -1.0
        self.best_state: dict[str, torch.Tensor] = {}
        self.key = digest_json({"spec": spec.to_json(), "settings": asdict(replace(settings, save_every=0)), **begin})

    def save(self) -> None:
        """Write the state atomically."""
        buffer = io.BytesIO()
        state = {
            "key": self.key,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "place": [self.step, self.seconds, self.best],
            "best": self.best_state,
        }
        torch.save(state, buffer)
        write_bytes(self.folder / STATE, buffer.getvalue())

    def restore(self) -> None:
        """Go on from a saved state, if there is one; raises ``StoreError`` if it is of other settings or broken."""
        path = self.folder / STATE
        if not path.exists():
            return
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise StoreError(f"{path} cannot be read ({error}); delete it to start anew") from error
        if state.get("key") != self.key:
            raise InputError(f"{self.folder} holds a judge run with other settings; use another folder")
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.best = int(state["place"][0]), float(state["place"][1]), float(state["place"][2])
        self.best_state = state["best"]

    def advance(self, narrow: Batcher | None, whole: Batcher, total: int) -> dict[str, torch.Tensor]:
        """One step on windows of ``narrow`` or, if that is None, on whole images.

        Whole images are seen twice, at two scales; so that both meet the statistics that verdicts will use, those are
        learned on windows, which come at every scale, and then kept.

        Raises:
            TrainingError: the loss is not a number.
        """
        self.network.train()
        if narrow is None and self.settings.window_epochs:
            freeze_statistics(self.network)
        images, targets = narrow.windows(self.step) if narrow else whole.train(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(self.step, total, self.settings.learning_rate)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.settings.seed, "judge-dropout", self.step))
            loss, terms = self._loss(images, targets, narrow is not None)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        if not torch.isfinite(loss):  # only now: before the backward, a GPU would wait for it
            raise TrainingError(f"the judge's loss is {loss.item()} at step {self.step}; lower the learning rate")
        self.step += 1
        return {name: value.detach() for name, value in {"loss": loss, **terms}.items()}

    def _loss(
        self, images: torch.Tensor, targets: Targets, narrow: bool
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if narrow:
            with precision(device=self.network.device):
                look = self.network.look(images)
            return window_loss(look, targets)
        with precision(device=self.network.device):
            output = self.network(images)
        return judge_loss(output, targets)

    def validate(self, pairs: JudgePairs) -> float:
        """AUROC on the validation people; keeps the best weights, of equals the last."""
        positive, negative = _scores(self.network, pairs)
        value = auroc(positive, negative).value
        if value is None:
            raise InputError("the validation split has no defect or no clean image; build more pairs")
        if value >= self.best:
            self.best = value
            self.best_state = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        return value


def _scores(network: JudgeNetwork, pairs: JudgePairs) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Logits of wrong images and of right ones (chosen and null edits)."""
    chosen, rejected = predict(network, pairs.chosen).score, predict(network, pairs.rejected).score
    wrong = pairs.fails[:, 1] == 1
    return rejected[wrong], np.concatenate([chosen, rejected[~wrong]])


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
    report: Callable[[str], None] = lambda _: None,
) -> TrainedJudge:
    """Train, or go on training, in ``folder``; the log is ``log.jsonl`` there.

    Args:
        train: pairs seen whole.
        validation: pairs of other people; the weights with the best AUROC on them are kept.
        spec: of the network.
        settings: of the loop.
        folder: of state and log.
        windows: pairs of which windows are seen first; None: those of ``train``.
        init: a network of the same spec to go on from; None: random weights.
        device: of torch; every draw is the CPU's, so a seed means the same on each, but for rounding.
        report: is given a line now and then.

    Raises:
        InputError: a split is empty of what is needed, or the folder holds a run with other settings or is unwritable.
        TrainingError: the loss is not a number.
    """
    make_folder(folder)
    run, whole = _Run(spec, settings, folder, init, device), Batcher(train, spec, settings.batch, settings.seed, device)
    narrow = Batcher(train if windows is None else windows, spec, settings.batch, settings.seed, device)
    run.restore()
    first_whole = round(settings.window_epochs * narrow.steps_per_epoch)
    total = max(1, first_whole + round(settings.epochs * whole.steps_per_epoch))
    begin, first = time.monotonic() - run.seconds, run.step
    while run.step < total:
        terms = run.advance(narrow if run.step < first_whole else None, whole, total)
        last = run.step == total
        checked: dict[str, float] = {}
        if last or (run.step > first_whole and (run.step - first_whole) % whole.steps_per_epoch == 0):
            checked = {"val_auroc": run.validate(validation)}
        run.seconds = time.monotonic() - begin
        if checked or run.step % 25 == 0:
            row = {name: float(value) for name, value in terms.items()} | checked
            _log(folder, {"step": run.step, "seconds": round(run.seconds, 1), **row})
            report(f"judge {run.step}/{total} " + " ".join(f"{name} {value:.3f}" for name, value in row.items()))
        if last or run.step % settings.save_every == 0:
            run.save()
    return _finish(run, whole, validation, 2 * settings.batch * (total - first))


def _log(folder: Path, row: dict[str, float]) -> None:
    """Append one line."""
    append_text(folder / LOG, json.dumps(row) + "\n")


def _finish(run: _Run, whole: Batcher, validation: JudgePairs, images: int) -> TrainedJudge:
    """Best weights, their attribute heads, all rounded as they will be stored, and the threshold that they need."""
    run.network.load_state_dict(run.best_state)
    fit_attributes(run.network, whole, run.settings.seed)
    rounded = {name: value.float() for name, value in halve(run.network).items()}
    run.network.load_state_dict(rounded, strict=False)
    positive, negative = _scores(run.network, validation)
    return TrainedJudge(
        network=run.network,
        threshold=specificity_threshold(negative, run.settings.specificity),
        auroc=auroc(positive, negative),
        steps=run.step,
        seconds=run.seconds,
        images_per_second=images / run.seconds if run.seconds else 0.0,
    )
