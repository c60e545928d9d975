"""Stage: a folder of captioned images becomes the embedded model's pipeline folder (``asap mini pretrain``).

Phase 1 fits the autoencoder (a linear encoder, a trained decoder), phase 2 encodes every image and its mirror image
once (captions never say left or right), phase 3 trains denoiser and text encoder together on these latents. Every draw
is named by (seed, phase, step) and made on the CPU, so it is the same on every device; what a GPU makes of it differs
from the CPU's by rounding, and from its own on another day by the order of its sums.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
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
from asap.stores.png import encode
from asap.tensors import to_signed
from asap.tensors.placement import place_table, take_rows
from asap.workflows.pairs.people import LEARNED, read_people, read_pieces, render_people
from asap.workflows.training.pretrain_loop import Phase, run_phase

__all__ = ["PretrainConfig", "pretrain", "pretrain_on_new_people", "write_sheet"]

HELD_OUT: Final = 512
"""Images never trained on, at most a tenth of all."""
CELL: Final = 4
"""Pixels along the side of a cell of the latents."""
EVALUATE_BATCH: Final = 64
ENCODER_PICTURES: Final = 1000
"""Images whose patches give the encoder its principal components."""
IMPORTANCE: Final = np.array(
    [0.0 if name == "background" else 2.0 if name in FINE_PIECES else 1.0 for name in PIECES], dtype=np.float32
)
"""Of each piece, for ``PretrainConfig.focus``."""
GRID: Final = (4, 6)
"""Rows and columns of the sheets of samples."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of a run; a folder belongs to one of them."""

    steps: int
    """Denoiser steps: the learning rate falls to zero over exactly these."""
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
    device: str = "auto",
    save_seconds: float = 180.0,
    evaluate_every: int = 400,
) -> Path:
    """Train the embedded model on ``data`` and return the pipeline folder, ``out``/pipeline.

    ``data`` holds shards as ``asap.workflows.pairs.people`` writes them. ``out`` gets config.json, log.jsonl,
    checkpoints, sheets of samples and the pipeline with its model card. Started again, the run goes on where it was,
    on another device, too. ``device`` is one of torch, or auto for a GPU if there is one; checkpoints are
    ``save_seconds`` apart, evaluations on held-out images ``evaluate_every`` steps.

    Raises:
        InputError: no data, images of the wrong size, ``out`` belongs to another configuration, or no such device.
        TrainingError: the loss is no number.
    """
    began, where = time.monotonic(), device_named(device)
    make_folder(out)
    _claim(out, config)
    content = _read(data, config)
    backbone = _begin(config, content, where)
    if content.images.shape[1] != backbone.resolution:
        raise InputError(
            f"{config.size} is trained at {backbone.resolution} pixels, {data} has {content.images.shape[1]}"
        )
    log = out / "log.jsonl"
    if not config.init:
        run_phase(_autoencoder_phase(backbone, content, config, evaluate_every), out, log, save_seconds=save_seconds)
    latents = _latents(backbone, content, out, rescale=not config.init)
    run_phase(
        _denoiser_phase(backbone, content, latents, config, evaluate_every, out), out, log, save_seconds=save_seconds
    )
    settings = {**asdict(config), "pictures": len(content.train), "device": backbone.device.type}
    return export(backbone, out / "pipeline", log, settings, time.monotonic() - began)


def pretrain_on_new_people(
    out: Path,
    config: PretrainConfig,
    *,
    people: int,
    workers: int,
    scene: str = LEARNED["scene"],
    device: str = "auto",
    save_seconds: float = 180.0,
) -> Path:
    """Render ``people`` people into ``out``/people with ``workers`` processes, then ``pretrain`` on them.

    ``scene`` is one of ``vocabulary.SCENES``. Raises as ``pretrain`` does; what can be wrong without any people is told
    before the first is rendered.
    """
    where = device_named(device)
    size = _embedded(config.init, where).resolution if config.init else _size(config).resolution
    make_folder(out)
    _claim(out, config)
    data = out / "people"
    render_people(data, count=people, size=size, seed=config.seed, scene=scene, workers=workers)
    return pretrain(data, out, config, device=where, save_seconds=save_seconds)


def _size(config: PretrainConfig) -> Size:
    if config.size not in SIZES:
        raise UnknownNameError("mini size", config.size, SIZES)
    return SIZES[config.size]


def _begin(config: PretrainConfig, content: _Data, device: str) -> MiniBackbone:
    """Random weights, or those that ``config.init`` names; raises ``InputError`` for a model of another family."""
    if not config.init:
        pipeline = build_pipeline(config.size, content.captions, config.seed)
        return MiniBackbone(pipeline, config.size, bf16=None if config.size == "mini" else False, device=device)
    return _embedded(config.init, device)


def _embedded(name: str, device: str) -> MiniBackbone:
    backbone = load(name, LoadOptions(device=device))
    if not isinstance(backbone, MiniBackbone):
        raise InputError(f"pretraining goes on from an embedded model, and {name!r} is {backbone.name}")
    return backbone


def _claim(out: Path, config: PretrainConfig) -> None:
    """Write the configuration, or check that it is the one of this folder."""
    path = out / "config.json"
    asked = asdict(config)
    if not path.exists():
        write_json(path, asked)
        return
    known = read_json(path)
    assert isinstance(known, dict)
    unlike = sorted(key for key in {*known, *asked} if known.get(key) != asked.get(key))
    if unlike:
        was = ", ".join(f"{key} was {known.get(key)!r} and is {asked.get(key)!r}" for key in unlike)
        raise InputError(f"{out} belongs to another run: {was}; use its settings or another folder")


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


def _ahead(backbone: MiniBackbone, make: Callable[[int], tuple[Tensor, ...]]) -> Prefetcher[tuple[Tensor, ...]]:
    """What is drawn for each step, on the backbone's device; for a GPU by other threads while it computes."""
    device = backbone.device
    return Prefetcher(
        lambda step: tuple(part.to(device) for part in make(step)), threads=THREADS if device.type == "cuda" else 0
    )


def _autoencoder_phase(backbone: MiniBackbone, data: _Data, config: PretrainConfig, evaluate_every: int) -> Phase:
    vae: nn.Module = backbone.pipeline.vae
    vae.requires_grad_(True)
    fit.calm_decoder(vae)
    few = np.linspace(0, len(data.train) - 1, min(ENCODER_PICTURES, len(data.train))).astype(np.int64)
    fit.principal_encoder(vae, data.images[data.train[few]])
    window = min(config.vae_window, backbone.resolution)
    channels, cells = backbone.latent_shape[0], window // CELL
    held = to_signed(data.images[data.held_out[:EVALUATE_BATCH]]).to(backbone.device)

    def drawn(step: int) -> tuple[Tensor, ...]:
        draw = _torch_generator(config, "vae", step)
        rows = data.train[_rows(config, "vae", step, len(data.train), config.vae_batch)]
        images = fit.crops(to_signed(data.images[rows]), window, 1, draw)
        return images, torch.randn(len(images), channels, cells, cells, generator=draw)

    ahead = _ahead(backbone, drawn)

    def loss(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        images, noise = ahead(step)
        with backbone.precision():
            return fit.decoder_loss(vae, images.contiguous(memory_format=torch.channels_last), noise)

    def evaluate(done: int) -> dict[str, float]:
        del done
        decoded = backbone.decode(backbone.encode(held))
        return {"psnr": round(fit.psnr(decoded, held).mean().item(), 3)}

    return Phase(
        name="vae",
        modules=vae,
        loss=loss,
        evaluate=evaluate,
        steps=config.vae_steps,
        batch=config.vae_batch,
        lr=config.vae_lr,
        warmup=50,
        decay=0.995,
        evaluate_every=evaluate_every,
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
        self.drawn = _ahead(backbone, self._draw)
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
        *drawn, weight = self.drawn(step)
        error = self.error(*drawn)
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


def _denoiser_phase(
    backbone: MiniBackbone,
    data: _Data,
    latents: npt.NDArray[np.float16],
    config: PretrainConfig,
    evaluate_every: int,
    out: Path,
) -> Phase:
    modules = nn.ModuleDict({"unet": backbone.denoiser, "text": backbone.pipeline.text_encoder})
    modules.requires_grad_(True)
    if not config.init:
        fit.calm_denoiser(backbone.denoiser)
    task = _Denoising(backbone, data, latents, config)
    prompts = _prompts(data, GRID[0] * GRID[1])

    def evaluate(done: int) -> dict[str, float]:
        if done % (2 * evaluate_every) == 0 or done == config.steps:
            pictures = backbone.sample(prompts, list(range(len(prompts))))
            write_sheet(out / "samples" / f"step-{done:06d}.png", pictures, GRID[1])
        return task.held_out()

    return Phase(
        name="denoiser",
        modules=modules,
        loss=task.loss,
        evaluate=evaluate,
        steps=config.steps,
        batch=config.batch,
        lr=config.lr,
        warmup=min(200, config.steps // 10),
        decay=config.decay,
        evaluate_every=evaluate_every,
    )


def _prompts(data: _Data, count: int) -> list[str]:
    """Held-out captions, the categories in turn."""
    by_category: dict[str, list[str]] = {}
    for row in data.held_out:
        by_category.setdefault(data.categories[row], []).append(data.captions[row])
    queues = [by_category[name] for name in sorted(by_category)]
    turns = [queue[k] for k in range(max(len(queue) for queue in queues)) for queue in queues if k < len(queue)]
    return (turns * count)[:count]


def write_sheet(path: Path, pictures: npt.NDArray[np.uint8], columns: int) -> None:
    """Images (B, H, W, 3) in rows of ``columns`` as one PNG; raises ``InputError`` if it cannot be written."""
    rows = [np.concatenate(list(pictures[k : k + columns]), axis=1) for k in range(0, len(pictures), columns)]
    write_bytes(path, encode(np.concatenate(rows)))
