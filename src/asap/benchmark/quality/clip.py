"""Scores from CLIP: CLIPScore, PickScore, HPSv2.1 and the LAION aesthetic predictor, all through ``transformers``.

HPSv2.1 is published as an ``open_clip`` checkpoint; ``from_open_clip`` gives its tensors the names of ``transformers``,
because ``open_clip`` needs torchvision, which has no CPU build beside our torch.
"""

import itertools
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from asap.core.errors import StoreError
from asap.core.records import ByteArray

__all__ = ["AestheticHead", "ClipScorer", "from_open_clip"]

BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}


class ClipScorer:
    """Cosine of image and prompt, scaled; or a head on the image's embedding alone."""

    higher_is_better = True

    def __init__(
        self,
        name: str,
        model: Any,  # noqa: ANN401  (transformers has no types that we could check)
        processor: Any,  # noqa: ANN401
        *,
        scale: float | None,
        head: nn.Module | None = None,
        device: str,
    ) -> None:
        """Use a CLIP ``model`` and ``processor``.

        Args:
            name: of the score.
            model: ``transformers.CLIPModel``.
            processor: its processor of images and words.
            scale: factor of the cosine; None: the model's own temperature, as PickScore has it.
            head: maps normed embeddings (B, D) to (B, 1); the prompt then does not matter.
            device: where it runs.
        """
        self.name, self._processor, self._scale, self._device = name, processor, scale, device
        self._model = model.eval().to(device)
        self._head = None if head is None else head.eval().to(device)

    @torch.inference_mode()
    def score(self, images: Sequence[ByteArray], prompts: Sequence[str]) -> list[float]:
        """One number an image (H, W, 3)."""
        converted = [Image.fromarray(image) for image in images]
        pixels = self._processor(images=converted, return_tensors="pt")["pixel_values"].to(self._device)
        seen = F.normalize(_embedding(self._model.get_image_features(pixel_values=pixels)), dim=-1)
        if self._head is not None:
            return [float(value) for value in self._head(seen)[:, 0]]
        words = self._processor(text=list(prompts), padding=True, truncation=True, return_tensors="pt").to(self._device)
        text = F.normalize(_embedding(self._model.get_text_features(**words)), dim=-1)
        scale = self._model.logit_scale.exp().item() if self._scale is None else self._scale
        return [float(value) for value in scale * (seen * text).sum(-1)]


def _embedding(found: Any) -> Tensor:  # noqa: ANN401
    """The projected embedding (B, D): newer ``transformers`` wrap it."""
    return found if isinstance(found, Tensor) else found.pooler_output


class AestheticHead(nn.Module):
    """Layers of the improved aesthetic predictor (christophschuhmann/improved-aesthetic-predictor): 768 to 1."""

    def __init__(self, width: int = 768) -> None:
        """``width`` is D."""
        super().__init__()
        sizes = (width, 1024, 128, 64, 16, 1)
        parts: list[nn.Module] = []
        for place, (first, second) in enumerate(itertools.pairwise(sizes)):
            parts.append(nn.Linear(first, second))
            if place < 3:
                parts.append(nn.Dropout(0.2 if place < 2 else 0.1))
        self.layers = nn.Sequential(*parts)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, D) to (B, 1)."""
        return torch.as_tensor(self.layers(embedding))

    @classmethod
    def load(cls, path: Path) -> "AestheticHead":
        """Read ``layers.N.weight`` and ``bias`` from a checkpoint.

        Raises:
            StoreError: it cannot be read, or has other layers.
        """
        state = _read(path)
        try:
            head = cls(int(state["layers.0.weight"].shape[1]))
            head.load_state_dict(state)
        except (KeyError, RuntimeError) as error:
            raise StoreError(f"{path} is not an aesthetic predictor ({error}); download it again") from error
        return head


def from_open_clip(path: Path, model: Any) -> Any:  # noqa: ANN401  (a CLIPModel)
    """Put the tensors of an ``open_clip`` checkpoint into a ``transformers.CLIPModel`` of the same shape.

    Raises:
        StoreError: the file cannot be read, or tensors are missing, left over or of another shape.
    """
    state = _read(path)
    state = {name.removeprefix("module."): value for name, value in state.get("state_dict", state).items()}
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        renamed |= _renamed(name, value)
    try:
        missing, extra = model.load_state_dict(renamed, strict=False)
    except RuntimeError as error:
        raise StoreError(f"{path} does not fit the model: {error}") from error
    missing = [name for name in missing if not name.endswith("position_ids")]
    if missing or extra:
        raise StoreError(f"{path} does not fit the model; missing {missing[:3]}, left over {extra[:3]}")
    return model


def _renamed(name: str, value: Tensor) -> dict[str, Tensor]:
    """One tensor under its names in ``transformers``; the joint projection of attention becomes three."""
    fixed = {
        "logit_scale": "logit_scale",
        "text_projection": "text_projection.weight",
        "visual.proj": "visual_projection.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    }
    if name in fixed:
        return {fixed[name]: value.T if name in ("text_projection", "visual.proj") else value}
    side, rest = ("vision_model", name.removeprefix("visual.")) if name.startswith("visual.") else ("text_model", name)
    norms = {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm", "ln_final": "final_layer_norm"}
    stem, _, kind = rest.rpartition(".")
    if stem in norms:
        return {f"{side}.{norms[stem]}.{kind}": value}
    if not rest.startswith("transformer.resblocks."):
        return {name: value}
    number, _, inner = rest.removeprefix("transformer.resblocks.").partition(".")
    place = f"{side}.encoder.layers.{number}"
    if inner.startswith("attn.in_proj_"):
        kind = inner.removeprefix("attn.in_proj_")
        parts = zip("qkv", value.chunk(3), strict=True)
        return {f"{place}.self_attn.{letter}_proj.{kind}": part for letter, part in parts}
    stem, _, kind = inner.rpartition(".")
    return {f"{place}.{BLOCK.get(stem, stem)}.{kind}": value}


def _read(path: Path) -> Mapping[str, Any]:
    """A checkpoint's tensors; nothing in it is run."""
    try:
        found: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        why = str(error).splitlines()[0]
        raise StoreError(f"cannot read {path} ({why}); download it again") from error
    return found
