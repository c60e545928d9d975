"""Train the embedded model on a folder of captioned images (``asap mini pretrain``).

Phase 1 fits the autoencoder (a linear encoder, a trained decoder), phase 2 encodes every image and its mirror image
once (captions never mention left or right), phase 3 trains denoiser and text encoder together on these latents. All
random numbers are derived from (seed, phase, step) and drawn on the CPU, so they are the same on every device; the
weights then differ between devices by rounding only.
"""

import copy
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asap.backbones import load
from asap.backbones.family import LoadOptions, device_named
from asap.backbones.mini import fit
from asap.backbones.mini.backbone import MiniBackbone
from asap.backbones.mini.build import SIZES, Size, build_pipeline
from asap.backbones.mini.card import export
from asap.backbones.protocol import TextCondition
from asap.core.errors import InputError, UnknownNameError
from asap.core.files import make_folder, read_json, write_bytes, write_json
from asap.core.prefetch import THREADS, Prefetcher
from asap.core.seeds import derive, generator
from asap.core.vocabulary import FINE_PIECES, PIECES
from asap.stores.checkpoints import CheckpointStore
from asap.stores.png import encode
from asap.stores.trainlog import TrainLog
from asap.tensors import to_signed
from asap.tensors.placement import place_table, take_rows
from asap.workflows.pairs.people import LEARNED, read_people, read_pieces, render_people
from asap.workflows.training.loop import Loop, LoopSettings, LossTask, PeriodicEvaluation, Schedule

__all__ = ["PretrainConfig", "pretrain", "pretrain_on_new_people", "write_sheet"]

HELD_OUT: Final = 512
"""Images never trained on, at most a tenth of all."""
CELL: Final = 4
"""Pixels along the side of a cell of the latents."""
EVALUATE_BATCH: Final = 64
ENCODER_IMAGES: Final = 1000
"""Images whose patches give the encoder its principal components."""
LOG_EVERY: Final = 25
"""Steps between two rows of the log."""
MAX_GRAD_NORM: Final = 1.0
PROBE: Final = 12
"""Steps that measure the rate; the first two, which are slower, do not count."""
TRAINING_SHARE: Final = 0.75
"""Share of the time left that the steps should fill; evaluations and checkpoints take the rest."""
IMPORTANCE: Final = np.array(
    [0.0 if name == "background" else 2.0 if name in FINE_PIECES else 1.0 for name in PIECES], dtype=np.float32
)
"""Of each piece, for ``PretrainConfig.focus``."""
CONFIG: Final = "config.json"
LOG: Final = "log.jsonl"
GRID: Final = (4, 6)
"""Rows and columns of the sheets of samples."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of a run; a folder belongs to one of them."""

    steps: int = 0
    """Denoiser steps: the learning rate falls to zero over exactly these, or over the last ``cooldown`` of them. 0: as
    many as fit the time given to ``pretrain``; the folder's config.json then holds the number."""
    cooldown: int = 0
    """Denoiser steps at the end over which the learning rate falls, constant before; 0: it falls from the first on.
    Until the cooldown begins, a run may be given another number of steps."""
    size: str = "mini"
    seed: int = 0
    batch: int = 32
    lr: float = 6e-4
    vae_steps: int = 4000
    vae_batch: int = 16
    """Windows a step."""
    vae_window: int = 64
    """Side of a window in pixels."""
    vae_lr: float = 3e-3
    init: str = ""
    """Known name or pipeline folder whose weights are trained on, autoencoder kept; empty to start from random ones."""
    drop: float = 0.1
    """Share of captions replaced by the empty one, for classifier-free guidance."""
    decay: float = 0.998
    focus: float = 1.0
    """Extra weight of the loss where a body is seen; twice as much on fingers, palms, toes, eyes and mouths."""


@dataclass(frozen=True)
class _Data:
    """Everything read: images (N, H, W, 3) uint8, N captions, and which rows are trained on and held out."""

    images: npt.NDArray[np.uint8]
    captions: list[str]
    categories: list[str]
    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]
    attention: npt.NDArray[np.float16] | None = None
    """(N, h, w) importance of each cell of the latents; None where nothing weighs more than the rest."""


def pretrain(
    data: Path,
    out: Path,
    config: PretrainConfig,
    *,
    seconds: float = 0.0,
    device: str = "auto",
    save_seconds: float = 180.0,
    evaluate_every: int = 400,
) -> Path:
    """Train the embedded model on ``data`` and return the pipeline folder, ``out``/pipeline.

    ``out`` gets config.json, log.jsonl, checkpoints, sheets of samples and the pipeline with its model card. Started
    again, the run resumes, on another device, too.

    Args:
        data: shards as ``asap.workflows.pairs.people`` writes them.
        out: folder of the run.
        config: settings of the run.
        seconds: time that the run should take, from its first start; the number of denoiser steps is fitted to it once,
            by the measured rate. Only without ``config.steps``.
        device: a device of torch; auto uses a GPU if there is one.
        save_seconds: between two checkpoints.
        evaluate_every: steps between two evaluations on held-out images.

    Raises:
        InputError: no data, images of the wrong size, neither steps nor seconds (or both), ``out`` belongs to another
            configuration, or no such device.
        TrainingError: the loss is not finite.
    """
    began, where = time.monotonic(), device_named(device)
    config = _claim(out, config, seconds)
    content = _read(data, config)
    backbone = _initial(config, content, where)
    if content.images.shape[1] != backbone.resolution:
        raise InputError(
            f"{config.size} is trained at {backbone.resolution} pixels, {data} has {content.images.shape[1]}"
        )
    if not config.init:
        _train(_autoencoder(backbone, content, config), out, save_seconds, evaluate_every)
    latents = _latents(backbone, content, out, rescale=not config.init)
    denoising = _denoising(backbone, content, latents, config, evaluate_every, out)
    if not config.steps:
        steps = _fitting_steps(denoising, seconds - (time.monotonic() - began))
        config = replace(config, steps=steps)
        write_json(out / CONFIG, asdict(config))
        denoising.settings = _denoiser_settings(config)
    _train(denoising, out, save_seconds, evaluate_every)
    settings = {**asdict(config), "pictures": len(content.train), "device": backbone.device.type}
    return export(backbone, out / "pipeline", out / LOG, settings, time.monotonic() - began)


@dataclass(kw_only=True)
class _Phase:
    """What one phase trains."""

    model: nn.Module
    loss: Callable[[int], tuple[Tensor, Mapping[str, Tensor]]]
    evaluate: Callable[[int], Mapping[str, float]]
    settings: LoopSettings

    def loop(self) -> Loop:
        """Before the first step."""
        parameters = [value for value in self.model.parameters() if value.requires_grad]
        lr = self.settings.schedule.lr
        optimizer = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        self.model.train()
        return Loop(LossTask(self.model, self.loss, optimizer), self.settings)


def _train(phase: _Phase, out: Path, save_seconds: float, evaluate_every: int) -> None:
    """Train a phase to its end, from its newest checkpoint if there is one; the model then has its averaged weights."""
    name = phase.settings.name
    phase.settings = replace(phase.settings, checkpoint_seconds=save_seconds)
    loop = phase.loop()
    loop.run(
        CheckpointStore(out / name),
        PeriodicEvaluation(phase.evaluate, lambda done: done % evaluate_every == 0),
        lambda done: TrainLog(out / LOG, done=done, first=1, phase=name),
    )
    assert loop.average is not None
    loop.average.keep()
    phase.model.eval()


def _fitting_steps(phase: _Phase, seconds: float) -> int:
    """How many steps of a phase fit into ``seconds``, by the rate of some that are taken and undone."""
    loop = phase.loop()
    before = copy.deepcopy(loop.task.state())
    durations = []
    for _ in range(PROBE):
        start = time.monotonic()
        loop.step()
        durations.append(time.monotonic() - start)
    loop.task.restore(before)
    per_step = sum(durations[2:]) / len(durations[2:])
    return max(PROBE, int(TRAINING_SHARE * seconds / max(per_step, 1e-9)))


def pretrain_on_new_people(
    out: Path,
    config: PretrainConfig,
    *,
    people: int,
    workers: int,
    scene: str = LEARNED["scene"],
    seconds: float = 0.0,
    device: str = "auto",
    save_seconds: float = 180.0,
) -> Path:
    """Render ``people`` people into ``out``/people with ``workers`` processes, then ``pretrain`` on them.

    ``scene`` is one of ``vocabulary.SCENES``; ``seconds`` do not include the rendering. Raises as ``pretrain`` does;
    what can be checked without people is checked before the first is rendered.
    """
    where = device_named(device)
    size = _embedded(config.init, where).resolution if config.init else _size(config).resolution
    _claim(out, config, seconds)
    data = out / "people"
    render_people(data, count=people, size=size, seed=config.seed, scene=scene, workers=workers)
    return pretrain(data, out, config, seconds=seconds, device=where, save_seconds=save_seconds)


def _size(config: PretrainConfig) -> Size:
    if config.size not in SIZES:
        raise UnknownNameError("mini size", config.size, SIZES)
    return SIZES[config.size]


def _initial(config: PretrainConfig, content: _Data, device: str) -> MiniBackbone:
    """Random weights, or those that ``config.init`` names; raises ``InputError`` for a model of another family."""
    if not config.init:
        pipeline = build_pipeline(config.size, content.captions, config.seed)
        return MiniBackbone(pipeline, config.size, bf16=None if config.size == "mini" else False, device=device)
    return _embedded(config.init, device)


def _embedded(name: str, device: str) -> MiniBackbone:
    backbone = load(name, LoadOptions(device=device))
    if not isinstance(backbone, MiniBackbone):
        raise InputError(f"pretraining continues an embedded model (mini, tiny), but {name!r} is {backbone.name}")
    return backbone


def _claim(out: Path, config: PretrainConfig, seconds: float) -> PretrainConfig:
    """Write the configuration, or check that it is the one of this folder; with its number of steps, if it has one."""
    path = out / CONFIG
    if bool(config.steps) == (seconds > 0):
        raise InputError("pretraining needs either a number of steps or a number of seconds (--steps or --seconds)")
    make_folder(out)
    requested = asdict(config)
    if not path.exists():
        write_json(path, requested)
        return config
    known = read_json(path)
    assert isinstance(known, dict)
    known = {"cooldown": 0, **known}
    if not config.steps:
        requested["steps"] = known["steps"]
    elif _may_change_steps(out, known, config):
        known["steps"] = config.steps
        write_json(path, known)
    different = sorted(key for key in {*known, *requested} if known.get(key) != requested.get(key))
    if different:
        changes = ", ".join(f"{key} was {known.get(key)!r} and is {requested.get(key)!r}" for key in different)
        raise InputError(f"{out} belongs to another run: {changes}; use its settings or another folder")
    return replace(config, steps=requested["steps"])


def _may_change_steps(out: Path, known: Mapping[str, object], config: PretrainConfig) -> bool:
    """Whether the steps taken so far are the same with the number of steps of ``config``: no cooldown has begun."""
    if not (config.cooldown and {**known, "steps": config.steps} == asdict(config)):
        return False
    return CheckpointStore(out / "denoiser").steps <= min(int(str(known["steps"])), config.steps) - config.cooldown


def _read(folder: Path, config: PretrainConfig) -> _Data:
    images, records = read_people(folder)
    attention = fit.attention(read_pieces(folder), IMPORTANCE, CELL) if config.focus else None
    order = generator(config.seed, "pretrain", "held out").permutation(len(images))
    held = min(HELD_OUT, len(images) // 10)
    captions = [str(record["caption"]) for record in records]
    categories = [str(record.get("category", "")) for record in records]
    return _Data(images, captions, categories, np.sort(order[held:]), np.sort(order[:held]), attention)


def _rows(config: PretrainConfig, phase: str, step: int, count: int, batch: int) -> npt.NDArray[np.int64]:
    """Positions of batch ``step`` in an endless row of permutations of ``count``."""
    first, parts = step * batch, []
    while batch > 0:
        epoch, offset = divmod(first, count)
        order = generator(config.seed, phase, "epoch", epoch).permutation(count)[offset : offset + batch]
        parts.append(order)
        first, batch = first + len(order), batch - len(order)
    return np.concatenate(parts)


def _torch_generator(config: PretrainConfig, phase: str, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive(config.seed, phase, step))


def _prefetched(
    backbone: MiniBackbone, make: Callable[[int], tuple[Tensor, ...]]
) -> Callable[[int], tuple[Tensor, ...]]:
    """Random inputs of each step, on the backbone's device; for a GPU drawn by other threads while it computes."""
    device = backbone.device
    return Prefetcher(
        lambda step: tuple(part.to(device) for part in make(step)), threads=THREADS if device.type == "cuda" else 0
    )


def _autoencoder(backbone: MiniBackbone, data: _Data, config: PretrainConfig) -> _Phase:
    vae: nn.Module = backbone.pipeline.vae
    vae.requires_grad_(True)
    fit.calm_decoder(vae)
    few = np.linspace(0, len(data.train) - 1, min(ENCODER_IMAGES, len(data.train))).astype(np.int64)
    fit.principal_encoder(vae, data.images[data.train[few]])
    window = min(config.vae_window, backbone.resolution)
    channels, cells = backbone.latent_shape[0], window // CELL
    held = to_signed(data.images[data.held_out[:EVALUATE_BATCH]]).to(backbone.device)

    def drawn(step: int) -> tuple[Tensor, ...]:
        draw = _torch_generator(config, "vae", step)
        rows = data.train[_rows(config, "vae", step, len(data.train), config.vae_batch)]
        images = fit.crops(to_signed(data.images[rows]), window, 1, draw)
        return images, torch.randn(len(images), channels, cells, cells, generator=draw)

    inputs = _prefetched(backbone, drawn)

    def loss(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        images, noise = inputs(step)
        with backbone.precision():
            return fit.decoder_loss(vae, images.contiguous(memory_format=torch.channels_last), noise)

    def evaluate(done: int) -> dict[str, float]:
        del done
        decoded = backbone.decode(backbone.encode(held))
        return {"psnr": round(fit.psnr(decoded, held).mean().item(), 3)}

    settings = _settings("vae", config.vae_steps, config.vae_lr, warmup=50, ema=0.995, images=config.vae_batch)
    return _Phase(model=vae, loss=loss, evaluate=evaluate, settings=settings)


def _settings(name: str, steps: int, lr: float, *, warmup: int, ema: float, images: int) -> LoopSettings:
    return LoopSettings(
        name=name,
        steps=steps,
        schedule=Schedule(lr=lr, warmup=max(1, warmup), decay=(0, steps)),
        max_grad_norm=MAX_GRAD_NORM,
        ema=ema,
        ema_warmup=True,
        images=images,
        log_every=LOG_EVERY,
    )


def _latents(backbone: MiniBackbone, data: _Data, out: Path, *, rescale: bool) -> npt.NDArray[np.float16]:
    """Latents of all images, then of all mirror images: (2N, C, h, w); kept in ``out`` and read from there again."""
    vae = backbone.pipeline.vae
    vae.requires_grad_(False)
    if rescale:
        vae.register_to_config(scaling_factor=1.0)
        sample = backbone.encode(to_signed(data.images[data.train[: 4 * EVALUATE_BATCH]]))
        vae.register_to_config(scaling_factor=round(1.0 / sample.std().item(), 6))
    key = {"vae": _digest(vae), "captions": hashlib.sha256(json.dumps(data.captions).encode()).hexdigest()}
    path, note = out / "latents.npy", out / "latents.json"
    if path.exists() and note.exists() and read_json(note) == key:
        return np.asarray(np.load(path))
    count = len(data.images)
    latents = np.empty((2 * count, *backbone.latent_shape), dtype=np.float16)
    for k in range(0, count, EVALUATE_BATCH):
        images = to_signed(data.images[k : k + EVALUATE_BATCH])
        latents[k : k + len(images)] = backbone.encode(images).cpu().numpy()
        latents[count + k : count + k + len(images)] = backbone.encode(images.flip(-1)).cpu().numpy()
    try:  # not in one piece in memory: the file is as large as all latents, and the note says whether it is whole
        note.unlink(missing_ok=True)
        np.save(path, latents)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    write_json(note, key)
    return latents


def _digest(module: nn.Module) -> str:
    hasher = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        hasher.update(name.encode() + value.contiguous().cpu().numpy().tobytes())
    return hasher.hexdigest()


class _Denoising:
    """Loss and figures of phase 3."""

    def __init__(
        self, backbone: MiniBackbone, data: _Data, latents: npt.NDArray[np.float16], config: PretrainConfig
    ) -> None:
        self.backbone, self.data, self.config, self.device = backbone, data, config, backbone.device
        self.latents = place_table(torch.from_numpy(latents), self.device)
        self.inputs = _prefetched(backbone, self._draw)
        self.ids = backbone.tokenize(data.captions)
        self.empty = backbone.tokenize([""])[0]
        self.text: nn.Module = backbone.pipeline.text_encoder
        self.weights = _weights(data, config.focus)

    def error(self, rows: Tensor, ids: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Squared error of the prediction, mean over channels, (B, h, w); all on the backbone's device."""
        path = self.backbone.path
        x = take_rows(self.latents, rows, self.device).float()
        with self.backbone.precision():
            states = self.text(ids)[0]
        prediction = self.backbone.denoise(path.mix(x, noise, t), t, TextCondition({"text": states}))
        return F.mse_loss(prediction, path.target(x, noise, t), reduction="none").mean(1)

    def weight(self, rows: Tensor) -> Tensor:
        """Of each cell at ``rows``, (B, h, w), on the CPU, mirrored with the image; 1 without focus."""
        if self.weights is None:
            return torch.ones(1, 1, 1)
        count = len(self.data.images)
        found, mirrored = self.weights[rows % count], rows >= count
        found[mirrored] = found[mirrored].flip(-1)
        return found.float()

    def _noise(self, count: int, draw: torch.Generator) -> Tensor:
        return torch.randn(count, *self.backbone.latent_shape, generator=draw)

    def _draw(self, step: int) -> tuple[Tensor, ...]:
        """Rows of the latents, tokens, times, noise and weights of a training step."""
        config, count = self.config, len(self.data.images)
        draw = _torch_generator(config, "denoiser", step)
        rows = self.data.train[_rows(config, "denoiser", step, len(self.data.train), config.batch)]
        ids = self.ids[rows].clone()
        ids[torch.rand(len(rows), generator=draw) < config.drop] = self.empty
        mirrored = torch.randint(2, (len(rows),), generator=draw).numpy()
        t = self.backbone.path.sample_time(len(rows), draw)
        places = torch.from_numpy(rows + count * mirrored)
        return places, ids, t, self._noise(len(rows), draw), self.weight(places)

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Of training step ``step``."""
        *inputs, weight = self.inputs(step)
        error = self.error(*inputs)
        return (error * weight).mean(), {} if self.weights is None else {"plain": error.detach().mean()}

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        """Loss on the held-out images at fixed noise and evenly spread times of the training distribution.

        ``held_out`` weighs all places alike, ``held_out_focus`` as training does.
        """
        rows = self.data.held_out
        draw = _torch_generator(self.config, "held out", 0)
        times = self.backbone.path.sample_time(len(rows), draw)
        plain, weighed = [], []
        for k in range(0, len(rows), EVALUATE_BATCH):
            some = torch.from_numpy(rows[k : k + EVALUATE_BATCH])
            drawn = some, self.ids[some], times[k : k + EVALUATE_BATCH], self._noise(len(some), draw)
            error = self.error(*(part.to(self.device) for part in drawn))
            plain.append(error)
            weighed.append(error * self.weight(some).to(self.device))
        found = {"held_out": plain} | ({} if self.weights is None else {"held_out_focus": weighed})
        return {name: round(torch.cat(parts).mean().item(), 6) for name, parts in found.items()}


def _weights(data: _Data, focus: float) -> Tensor | None:
    """(N, h, w), mean 1 over the images trained on; None for weights that are all 1."""
    if data.attention is None:
        return None
    weights = 1 + focus * torch.from_numpy(data.attention).float()
    return (weights / weights[torch.from_numpy(data.train)].mean()).half()


def _denoising(
    backbone: MiniBackbone,
    data: _Data,
    latents: npt.NDArray[np.float16],
    config: PretrainConfig,
    evaluate_every: int,
    out: Path,
) -> _Phase:
    modules = nn.ModuleDict({"unet": backbone.denoiser, "text": backbone.pipeline.text_encoder})
    modules.requires_grad_(True)
    if not config.init:
        fit.calm_denoiser(backbone.denoiser)
    task = _Denoising(backbone, data, latents, config)
    prompts = _prompts(data, GRID[0] * GRID[1])

    def evaluate(done: int) -> dict[str, float]:
        if done % (2 * evaluate_every) == 0 or done == phase.settings.steps:
            images = backbone.sample(prompts, list(range(len(prompts))))
            write_sheet(out / "samples" / f"step-{done:06d}.png", images, GRID[1])
        return task.held_out()

    phase = _Phase(model=modules, loss=task.loss, evaluate=evaluate, settings=_denoiser_settings(config))
    return phase


def _denoiser_settings(config: PretrainConfig) -> LoopSettings:
    if not config.cooldown:
        warmup = min(200, config.steps // 10)
        return _settings("denoiser", config.steps, config.lr, warmup=warmup, ema=config.decay, images=config.batch)
    settings = _settings("denoiser", config.steps, config.lr, warmup=200, ema=config.decay, images=config.batch)
    start = max(0, config.steps - config.cooldown)
    return replace(settings, schedule=replace(settings.schedule, decay=(start, config.steps)))


def _prompts(data: _Data, count: int) -> list[str]:
    """Held-out captions, the categories in turn."""
    by_category: dict[str, list[str]] = {}
    for row in data.held_out:
        by_category.setdefault(data.categories[row], []).append(data.captions[row])
    queues = [by_category[name] for name in sorted(by_category)]
    turns = [queue[k] for k in range(max(len(queue) for queue in queues)) for queue in queues if k < len(queue)]
    return (turns * count)[:count]


def write_sheet(path: Path, images: npt.NDArray[np.uint8], columns: int) -> None:
    """Images (B, H, W, 3) in rows of ``columns`` as one PNG; raises ``InputError`` if it cannot be written."""
    rows = [np.concatenate(list(images[k : k + columns]), axis=1) for k in range(0, len(images), columns)]
    write_bytes(path, encode(np.concatenate(rows)))
