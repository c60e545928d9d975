"""Rendered people whose mesh is edited: the truth of every pair is exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from asap.core.seeds import derive, generator
from asap.core.settings import Fraction, Natural, Positive
from asap.core.vocabulary import IdentityPool, Operation, Scene
from asap.gates import GateLimits
from asap.workflows.pairs.candidate import Candidate, Refusal
from asap.workflows.pairs.filters import PairFilter
from asap.workflows.pairs.producer import PairProducer

__all__ = ["STUDIO_AREA", "Rendered", "limits_of"]

STUDIO_AREA: Final = 0.012
"""Share of the image that an edit in the studio must clearly change: three cells of the embedded model's 16 x 16."""


@dataclass(frozen=True, kw_only=True)
class Rendered(PairProducer):
    """Pairs of rendered people: one body part of the rejected side is broken by an edit of the mesh."""

    count: Positive
    """Number of accepted pairs to build."""
    size: Literal[64, 128, 256] = 128
    """Width and height in pixels."""
    seed: Natural = 0
    """Random seed; the same seed gives the same pairs."""
    scene: Scene = "varied"
    """Scene around the people: varied; studio (a plain backdrop); or clear (a backdrop and clothes of clearly
    different colours)."""
    identity_pool: IdentityPool = "pairs"
    """Pool of people to draw from. Use pairs for training, judge for a judge and rank for a ranker, so that they share
    no person."""
    null_share: Fraction = 0.1
    """Share of pairs without a defect: three in four show another correct pose, one in four the same image twice."""
    operations: tuple[Operation, ...] = ()
    """Operations to draw from; all by default."""

    name: ClassVar[str] = "bodies"
    title: ClassVar[str] = "rendering pairs"
    versions: ClassVar[tuple[str, ...]] = ("anny", "warp-lang", "numpy")

    @property
    def filter(self) -> PairFilter:
        """The gates for renderings."""
        return PairFilter(limits=limits_of(self.scene))

    def prepare(self) -> None:
        """Load the body model; the first load on a machine takes about 40 s."""
        from asap import bodies

        bodies.load_rig()

    def propose(self, indices: Sequence[int], attempt: int) -> Sequence[Candidate | Refusal]:
        """One edit of each image."""
        return [self._propose(index, attempt) for index in indices]

    def _propose(self, index: int, attempt: int) -> Candidate | Refusal:
        from asap.workflows.pairs import scenes

        chosen = scenes.subject(self.seed, self.identity_pool, index, self.scene, self.size)
        if not chosen.visible:
            return Refusal("no_part_visible", final=True)
        kind = scenes.kind_of(self.seed, self.identity_pool, index, self.null_share)
        rng = generator(self.seed, self.identity_pool, "edit", index, attempt)
        edited = scenes.edit_scene(chosen, kind, self.operations, rng)
        if isinstance(edited, Refusal):
            return edited
        rejected = edited.render(chosen, self.size)
        truth = chosen.truth
        return Candidate(
            uid=f"{self.identity_pool}-{derive(self.seed, self.identity_pool, 'uid', index):016x}",
            chosen=chosen.rendering.image,
            rejected=rejected.image,
            regions=chosen.rendering.regions,
            edit=edited.edit,
            truth=truth,
            keypoints=chosen.keypoints,
            split_by=truth.person,
            recipe={"namespace": self.identity_pool, "size": self.size},
            touched=edited.touched_pixels(chosen, rejected),
        )


def limits_of(scene: str) -> GateLimits:
    """Limits of the gates for renderings; in front of a plain backdrop an edit must be larger (``STUDIO_AREA``)."""
    return GateLimits() if scene == "varied" else GateLimits(changed_area_min=STUDIO_AREA)
