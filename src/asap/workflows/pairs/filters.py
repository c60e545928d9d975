"""What a candidate must pass to become a pair: the gates, a perceptual distance, a screen.

A screen is a model that says which side is worse. Models are loaded once per process. Keys and addresses that a screen
needs are read where it runs and are never written to a manifest.
"""

import os
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asap import gates
from asap.core.errors import InputError, UnknownNameError
from asap.core.hashing import digest_json
from asap.core.manifest import Instrument
from asap.core.pairs import box_of
from asap.core.records import ByteArray, Edit, GateResult
from asap.core.vocabulary import SCREEN_REASON
from asap.gates import Perceptual
from asap.workflows.pairs.candidate import Candidate

if TYPE_CHECKING:
    from asap.degrade.diffusion import Screen
    from asap.regions import Landmarker

__all__ = [
    "PERCEPTUALS",
    "SCREENS",
    "PairFilter",
    "Passed",
    "Screening",
    "landmarker_of",
    "perceptual_of",
    "screen_of",
]

PERCEPTUALS: Final = ("lpips",)
SCREENS: Final = ("landmarks", "vlm")
KEY: Final = "OPENAI_API_KEY"
"""Environment variable with the key of a model that is asked."""
UNSURE: Final = 0.5
_ANSWER: Final = " Answer with one word: first or second."


@dataclass(frozen=True, kw_only=True)
class Screening:
    """Which screen, and how sure it must be."""

    kind: str
    """Of ``SCREENS``."""
    model: str = ""
    """Of ``vlm``: the model's name at the address."""
    url: str = ""
    """Of ``vlm``: an OpenAI-compatible base address, up to and including the version."""
    least: float = 0.2
    """A pair is kept when the screen says at least so much, from -1 to 1; our choice."""

    @property
    def text(self) -> str:
        """What ``read`` reads."""
        return self.kind if self.kind == "landmarks" else f"{self.kind}:{self.model}@{self.url}"

    @classmethod
    def read(cls, text: str) -> "Screening":
        """``landmarks`` or ``vlm:MODEL@URL``.

        Raises:
            UnknownNameError: neither.
            InputError: a model without an address, or landmarks with one.
        """
        kind, _, rest = text.partition(":")
        if kind not in SCREENS:
            raise UnknownNameError("screen", kind, SCREENS)
        model, _, url = rest.rpartition("@")
        if (kind == "vlm") != bool(model and url.startswith(("http://", "https://"))):
            raise InputError(
                f"a screen is landmarks or vlm:MODEL@URL, as in vlm:m@http://localhost:8000/v1; got {text}"
            )
        return cls(kind=kind, model=model, url=url)


@lru_cache(maxsize=1)
def perceptual_of(text: str) -> Perceptual | None:
    """The distance of ``lpips:TRUNK`` or ``lpips:TRUNK,HEADS`` (files of weights); None for an empty text.

    Raises:
        UnknownNameError: another name.
        InputError: as ``backbones.lpips.load_lpips``.
    """
    if not text:
        return None
    name, _, files = text.partition(":")
    if name not in PERCEPTUALS:
        raise UnknownNameError("perceptual distance", name, PERCEPTUALS)
    trunk, _, heads = files.partition(",")
    if not trunk:
        raise InputError("LPIPS needs the file of its trunk: lpips:PATH, torchvision's alexnet or vgg16 weights")
    from asap.backbones.lpips import load_lpips

    return load_lpips(Path(trunk), Path(heads) if heads else None)


@lru_cache(maxsize=1)
def screen_of(screening: Screening, landmarker: str) -> "Screen":
    """The screen; ``landmarks`` uses the landmarker of the build."""
    from asap.degrade.diffusion import LandmarkScreen, VlmScreen

    if screening.kind == "landmarks":
        finder = landmarker_of(landmarker)
        return LandmarkScreen(finder.find, finder.name, finder.fingerprint)
    from asap.workflows.runtime.http import Endpoint, ask

    endpoint = Endpoint(url=screening.url, model=screening.model, key=os.environ.get(KEY, ""))

    def probability(first: ByteArray, second: ByteArray, question: str) -> float:
        words = ask(endpoint, question + _ANSWER, first, second).casefold()
        named = ["first" in words, "second" in words]
        return UNSURE if named[0] == named[1] else float(named[1])

    return VlmScreen(probability, screening.model, digest_json({"model": screening.model, "answer": _ANSWER}))


USER: Final = "user"
"""The landmarker that reads the user's own masks and keypoints beside each photograph."""


@lru_cache(maxsize=4)
def landmarker_of(name: str) -> "Landmarker":
    """The landmarker, loaded once per process."""
    from asap import regions

    return regions.landmarker(name, **({"files": {}} if name == USER else {}))


@dataclass(frozen=True, kw_only=True)
class Passed:
    """Both sides of a pair as they are stored, after the gates and the screen."""

    chosen: ByteArray
    """(H, W, 3), equal to ``rejected`` outside the mask."""
    rejected: ByteArray
    mask: ByteArray
    """(H, W) 255 inside."""
    edit: Edit
    """With the answer of the screen in its detail."""
    gates: GateResult


@dataclass(frozen=True, kw_only=True)
class PairFilter:
    """Gates, and a screen where there is one: plain settings, so that a worker can load what they name."""

    limits: gates.GateLimits = field(default_factory=gates.GateLimits)
    photograph: bool = False
    """Masks are grown as for photographs (``gates.mask_margin``)."""
    perceptual: str = ""
    """Setting of ``perceptual_of``."""
    screening: Screening | None = None
    landmarker: str = "mediapipe"
    """Used by a screen of landmarks."""

    def instruments(self) -> tuple[Instrument, ...]:
        """Every model and rule that decides which candidates become pairs."""
        found = [Instrument("pair_gate", "ssim gates", digest_json(asdict(self.limits)))]
        if self.screening is not None:
            screen = screen_of(self.screening, self.landmarker)
            found.append(Instrument("screen", screen.name, screen.fingerprint))
        if (distance := perceptual_of(self.perceptual)) is not None:
            found.append(Instrument("pair_gate", distance.name, distance.fingerprint))
        return tuple(found)

    def judge(self, candidate: Candidate) -> Passed | str:
        """The pair as it is stored, or the first reason why it is refused."""
        chosen, rejected, mask = candidate.chosen, candidate.rejected, candidate.mask
        if mask is None:
            margin = gates.mask_margin(chosen.shape, photograph=self.photograph)
            mask = gates.difference_mask(chosen, rejected, margin)
            chosen, rejected = gates.share_outside(chosen, rejected, mask)
        perceptual = perceptual_of(self.perceptual)
        values = gates.measure(chosen, rejected, mask, touched_visible=candidate.touched, perceptual=perceptual)
        result = gates.evaluate(values, self.limits, candidate.edit.kind, box=box_of(mask))
        if result.reasons:
            return result.reasons[0]
        edit = candidate.edit
        if self.screening is not None and candidate.screened is not None:
            screen = screen_of(self.screening, self.landmarker)
            worse = float(screen.worse(chosen, rejected, candidate.screened))
            if worse < self.screening.least:
                return SCREEN_REASON
            edit = replace(edit, detail={**edit.detail, "screen": round(worse, 4)})
        return Passed(chosen=chosen, rejected=rejected, mask=mask, edit=edit, gates=result)
