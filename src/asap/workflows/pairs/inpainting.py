"""Photographs of people, one part of which a diffusion model paints: at will, or after a broken skeleton."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final, Literal, NamedTuple

import numpy as np

from asap.core.errors import InputError
from asap.core.manifest import Instrument
from asap.core.photos import EditedPhoto, PartRegion, Photo
from asap.core.settings import Positive, PositiveFloat
from asap.core.vocabulary import OPERATIONS, SEVERITIES
from asap.workflows.pairs.filters import USER, PairFilter, Screening
from asap.workflows.pairs.photos import PHOTOS_AT_ONCE, EditedPart, PhotoProducer, WantedEdit

if TYPE_CHECKING:
    from asap.degrade.diffusion import Inpainter, Painting

__all__ = ["Diffusion", "Inpainting", "generator_of", "inpainter_of"]

SEVERITY_SHARES: Final = (0.25, 0.4, 0.35)
"""How often severity 1, 2 and 3 are drawn, as on rendered people."""


@dataclass(frozen=True, kw_only=True)
class Diffusion:
    """The diffusion model that draws the images."""

    model: str
    """Pipeline: folder or Hub id."""
    controlnet: str = ""
    """ControlNet: folder or Hub id; for several, depth=ID,normal=ID,pose=ID."""
    device: str = "cpu"
    """Device of torch: cpu, cuda, cuda:1."""
    dtype: str = "auto"
    """Dtype of the weights."""
    steps: Positive | None = None
    """Denoising steps; the family's own number by default."""
    guidance: PositiveFloat | None = None
    """Guidance scale of the text; the family's own by default."""
    batch_size: Positive = 4
    """Images per call of the model. It changes images by rounding only, so it does not count as another setting."""

    def config(self) -> dict[str, object]:
        """Plain values that decide the images."""
        own = asdict(self)
        del own["batch_size"]
        return own


@lru_cache(maxsize=1)
def inpainter_of(kind: str, settings: Diffusion) -> "Inpainter":
    """The model for a ``kind`` of painting (of ``degrade.diffusion.KINDS``), loaded once per process."""
    from asap.degrade.diffusion.load import load_inpainter

    return load_inpainter(
        kind,
        settings.model,
        controlnet=settings.controlnet or None,
        device=settings.device,
        dtype=settings.dtype,
        steps=settings.steps,
        guidance=settings.guidance,
    )


def generator_of(model: "Inpainter") -> Instrument:
    """What the manifest says of a model."""
    return Instrument("generator", model.name, model.fingerprint)


@dataclass(frozen=True, kw_only=True)
class Inpainting(PhotoProducer):
    """Pairs of photographs: a diffusion model inpaints one body part."""

    method: Literal["repaint", "skeleton"] = "repaint"
    """repaint: inpaint with a prompt that asks for a defect; skeleton: inpaint with a ControlNet that receives a
    broken skeleton."""
    diffusion: Diffusion
    screen: str = ""
    """Keep only pairs whose rejected image is worse according to landmarks, or to vlm:MODEL@URL (key in
    OPENAI_API_KEY)."""

    title: ClassVar[str] = "painting photographs"
    stored: ClassVar[Mapping[str, str]] = {"source": "", "diffusion": "", "screen": "", "method": ""}

    def faults(self) -> Iterator[str]:
        """A screen of landmarks needs a landmarker."""
        if self.screen == "landmarks" and self.landmarker == USER:
            yield "a screen of landmarks needs a landmarker, and user's masks have none; name another"

    @property
    def filter(self) -> PairFilter:
        """The gates for photographs, and the screen."""
        return replace(super().filter, screening=Screening.read(self.screen) if self.screen else None)

    @property
    def one_process(self) -> bool:
        """A GPU is filled by one process."""
        return self.diffusion.device != "cpu"

    @property
    def batch(self) -> int:
        """Photographs whose pairs fill a call of the model."""
        return self.per_image * min(PHOTOS_AT_ONCE, -(-self.diffusion.batch_size // self.per_image))

    @property
    def chunk(self) -> int:
        """At least a batch."""
        return max(super().chunk, self.batch)

    def config(self) -> Mapping[str, object]:
        """Those of photographs, and the model."""
        painting = {"kind": self.method, **self.diffusion.config()}
        return {**super().config(), "degrade": [self.method], "painting": painting}

    def instruments(self) -> tuple[Instrument, ...]:
        """The landmarker and the model."""
        return (*super().instruments(), generator_of(inpainter_of(self.method, self.diffusion)))

    def edit_all(self, wanted: Sequence[WantedEdit]) -> Sequence[EditedPart | InputError]:
        """One part of each photograph painted; an error where no part has a skeleton that the operations break."""
        from asap.degrade.diffusion import paint_all

        model = inpainter_of(self.method, self.diffusion)
        begun = [self._begin(*one, model) for one in wanted]
        paintings = [one.painting for one in begun if isinstance(one, _Begun)]
        painted = iter(paint_all(paintings, model, self.diffusion.batch_size))
        return [self._finished(one.part, next(painted)) if isinstance(one, _Begun) else one for one in begun]

    def _finished(self, part: PartRegion, painted: EditedPhoto | InputError) -> EditedPart | InputError:
        return painted if isinstance(painted, InputError) else EditedPart(part, self.method, painted)

    def _begin(
        self, photo: Photo, parts: Sequence[PartRegion], rng: np.random.Generator, model: "Inpainter"
    ) -> "_Begun | InputError":
        from asap.degrade import diffusion

        severity = int(rng.choice(SEVERITIES, p=SEVERITY_SHARES))
        if self.method == "repaint":
            part = parts[int(rng.integers(len(parts)))]
            painting = diffusion.inpaint_pair(
                photo.image, part, severity, rng, model, caption=photo.caption, regions=parts
            )
            return _Begun(part, painting)
        allowed = set(self.operations or OPERATIONS)
        cells = [
            (part, operation)
            for part in parts
            for name, operation in diffusion.SKELETON_OPERATIONS
            if name == part.part and operation in allowed
        ]
        if not cells:
            return InputError("no part of this photograph has a skeleton that these operations could break")
        part, operation = cells[int(rng.integers(len(cells)))]
        painting = diffusion.skeleton_pair(
            photo.image, part, operation, severity, rng, model, caption=photo.caption, regions=parts
        )
        return _Begun(part, painting)


class _Begun(NamedTuple):
    """A part whose painting has begun."""

    part: PartRegion
    painting: "Painting"
