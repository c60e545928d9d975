"""Photographic pairs whose error is that of a rendered body, without any photograph.

A body and its broken twin are rendered through one camera; their depth, normals and pose steer a ControlNet from one
noise (``degrade.diffusion.controlnet_pair``). Part, operation and severity are those of the mesh edit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import numpy as np

from asap import gates
from asap.core.errors import BrokenImageError, InputError
from asap.core.manifest import Instrument
from asap.core.pairs import box_of
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import BoolArray, Edit
from asap.core.seeds import derive, generator
from asap.core.settings import Fraction, Natural, Positive, Range
from asap.core.vocabulary import IdentityPool, Operation
from asap.workflows.pairs.candidate import Candidate, Refusal
from asap.workflows.pairs.filters import PairFilter, Screening
from asap.workflows.pairs.inpainting import Diffusion, generator_of, inpainter_of
from asap.workflows.pairs.producer import PairProducer

if TYPE_CHECKING:
    from asap.degrade.diffusion import Painting
    from asap.workflows.pairs.scenes import Subject

__all__ = ["ControlNet"]


@dataclass(frozen=True, kw_only=True)
class ControlNet(PairProducer):
    """Pairs that a ControlNet generates from the maps of a rendered body and of its broken copy."""

    count: Positive
    """Number of accepted pairs to build."""
    diffusion: Diffusion
    size: Annotated[int, Range(least=64, most=2048)] = 512
    """Width and height in pixels; use the size that the model was trained at."""
    seed: Natural = 0
    """Random seed; the same seed gives the same pairs."""
    identity_pool: IdentityPool = "pairs"
    """Pool of people to draw from. Use pairs for training, judge for a judge and rank for a ranker, so that they share
    no person."""
    null_share: Fraction = 0.1
    """Share of pairs whose rejected side follows another correct pose."""
    operations: tuple[Operation, ...] = ()
    """Operations to draw from; all by default."""
    screen: str = ""
    """Keep only pairs whose rejected image is worse according to landmarks, or to vlm:MODEL@URL (key in
    OPENAI_API_KEY)."""
    perceptual: str = ""
    """Enable the LPIPS gates of the paper: lpips:TRUNK[,HEADS], where TRUNK and HEADS are weight files."""

    name: ClassVar[str] = "guided"
    title: ClassVar[str] = "painting pairs"
    versions: ClassVar[tuple[str, ...]] = ("anny", "warp-lang", "numpy", "diffusers")
    stored: ClassVar[Mapping[str, str]] = {"identity_pool": "namespace", "diffusion": "", "screen": ""}
    one_process: ClassVar[bool] = True

    @property
    def batch(self) -> int:
        """Bodies whose pairs fill a call of the model."""
        return self.diffusion.batch_size

    @property
    def chunk(self) -> int:
        """Few, because each takes long."""
        return max(8, self.batch)

    @property
    def filter(self) -> PairFilter:
        """The gates for photographs, and the screen."""
        screening = Screening.read(self.screen) if self.screen else None
        limits = gates.GateLimits.photographs()
        return PairFilter(limits=limits, photograph=True, perceptual=self.perceptual, screening=screening)

    def config(self) -> Mapping[str, object]:
        """The settings, the model and the screen."""
        screening, painting = self.filter.screening, {"kind": "guided", **self.diffusion.config()}
        screen = None if screening is None else asdict(screening)
        return {**super().config(), "scene": "varied", "painting": painting, "screening": screen}

    def instruments(self) -> tuple[Instrument, ...]:
        """The model; raises ``InputError`` where it cannot be loaded or cannot paint the size."""
        model = inpainter_of("guided", self.diffusion)
        if self.size % model.size_multiple:
            raise InputError(f"{model.name} paints sizes that {model.size_multiple} divides, not {self.size}")
        return (generator_of(model),)

    def propose(self, indices: Sequence[int], attempt: int) -> Sequence[Candidate | Refusal]:
        """One edit of each body, painted."""
        from asap.degrade.diffusion import paint_all

        begun = [self._begin(index, attempt) for index in indices]
        paintings = [one.painting for one in begun if isinstance(one, _Begun)]
        painted = iter(paint_all(paintings, inpainter_of("guided", self.diffusion), self.diffusion.batch_size))
        return [
            self._candidate(index, one, next(painted)) if isinstance(one, _Begun) else one
            for index, one in zip(indices, begun, strict=True)
        ]

    def _begin(self, index: int, attempt: int) -> "_Begun | Refusal":
        from asap.degrade import diffusion
        from asap.workflows.pairs import scenes

        chosen = scenes.subject(self.seed, self.identity_pool, index, "varied", self.size)
        if not chosen.visible:
            return Refusal("no_part_visible", final=True)
        kind = scenes.kind_of(self.seed, self.identity_pool, index, self.null_share)
        rng = generator(self.seed, self.identity_pool, "guided", index, attempt)
        # equal maps would give equal images, so every null pair shows another pose
        edited = scenes.edit_scene(chosen, "defect" if kind == "defect" else "null_pose", self.operations, rng)
        if isinstance(edited, Refusal):
            return edited
        right, wrong = chosen.rendering, edited.render(chosen, self.size)
        margin = gates.mask_margin(right.image.shape, photograph=True)
        area = gates.difference_mask(right.image, wrong.image, margin) > 0
        if not area.any():
            return Refusal("hidden")
        camera, points = chosen.sampled.scene.camera, chosen.keypoints
        painting = diffusion.controlnet_pair(
            self.size,
            diffusion.BodyMaps(depth=right.depth, normals=right.normals, camera=camera, keypoints=points),
            diffusion.BodyMaps(depth=wrong.depth, normals=wrong.normals, camera=edited.scene.camera),
            area,
            edited.edit,
            rng,
            inpainter_of("guided", self.diffusion),
            caption=chosen.truth.caption,
        )
        return _Begun(chosen, area, painting)

    def _candidate(self, index: int, begun: "_Begun", painted: EditedPhoto | InputError) -> Candidate | Refusal:
        if isinstance(painted, BrokenImageError):
            return Refusal("broken_image")
        if isinstance(painted, InputError):
            raise painted
        subject, edit = begun.subject, painted.edit
        return Candidate(
            uid=f"guided-{derive(self.seed, self.identity_pool, 'guided-uid', index):016x}",
            chosen=painted.chosen,
            rejected=painted.rejected,
            mask=painted.mask,
            regions=subject.rendering.regions,
            edit=edit,
            truth=subject.truth,
            keypoints=subject.keypoints,
            split_by=subject.truth.person,
            recipe={"namespace": self.identity_pool, "size": self.size, "method": "guided"},
            screened=_region(edit, begun.area) if edit.kind == "defect" else None,
        )


class _Begun(NamedTuple):
    """A pair whose painting has begun."""

    subject: "Subject"
    area: BoolArray
    painting: "Painting"


def _region(edit: Edit, area: BoolArray) -> PartRegion:
    """The edited part as a screen takes it."""
    return PartRegion(
        part=edit.part,
        side=edit.side,
        person=0,
        mask=area,
        box=box_of(area),
        keypoints=np.zeros((0, 3), dtype=np.float32),
        keypoint_names=(),
        confidence=1.0,
        instrument="bodies",
    )
