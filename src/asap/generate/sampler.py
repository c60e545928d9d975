"""Generate images for prompts and seeds. Each image depends on its prompt and seed only, so a run can be resumed."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asap.backbones.protocol import Backbone
from asap.core.errors import InputError
from asap.core.seeds import derive

__all__ = ["GeneratedImage", "generate"]


@dataclass(frozen=True, kw_only=True)
class GeneratedImage:
    """One generated image."""

    prompt_id: str
    prompt: str
    seed: int
    image: npt.NDArray[np.uint8]
    """(H, W, 3) sRGB."""


def generate(
    backbone: Backbone,
    prompts: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    *,
    steps: int | None = None,
    guidance: float | None = None,
    size: tuple[int | None, int | None] = (None, None),
    batch: int = 16,
    done: Container[tuple[str, int]] = (),
) -> Iterator[GeneratedImage]:
    """Yield an image for every prompt and seed that is not ``done``.

    Args:
        backbone: the model, with its adapter enabled if it has one.
        prompts: id and text of each prompt.
        seeds: the model receives ``derive(seed, "generate", prompt_id)``, so prompts do not share their noise.
        steps: sampler steps; None for the default of the model.
        guidance: scale of classifier-free guidance; None for the default of the model.
        size: height and width of the images; None for the native size of the model.
        batch: images per batch; it affects speed only.
        done: (prompt id, seed) of images that exist already.

    Raises:
        InputError: no prompts or seeds, duplicate ids, or a batch below 1.
    """
    ids = [name for name, _ in prompts]
    if not prompts or not seeds or len(set(ids)) < len(ids) or len(set(seeds)) < len(seeds) or batch < 1:
        raise InputError(
            f"generation needs prompts with different ids, different seeds and a batch of at least 1, "
            f"got {len(prompts)} prompts ({len(set(ids))} ids), seeds {list(seeds)}, batch {batch}"
        )
    wanted = [(name, text, seed) for name, text in prompts for seed in seeds if (name, seed) not in done]
    for start in range(0, len(wanted), batch):
        part = wanted[start : start + batch]
        noise = [derive(seed, "generate", name) for name, _, seed in part]
        texts = [text for _, text, _ in part]
        images = backbone.sample(texts, noise, steps=steps, guidance=guidance, height=size[0], width=size[1])
        for (name, text, seed), image in zip(part, images, strict=True):
            yield GeneratedImage(prompt_id=name, prompt=text, seed=seed, image=image)
