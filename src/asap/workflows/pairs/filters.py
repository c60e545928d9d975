"""What looks at a pair besides SSIM, by its setting: a perceptual distance, and a screen that says which side is worse.

Loaded once a process. Keys and addresses that a screen needs are read where it runs and never enter a manifest.
"""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asap.core.errors import InputError, UnknownNameError
from asap.core.hashing import digest_json
from asap.core.photos import EditedPhoto, PartRegion
from asap.core.records import ByteArray
from asap.gates import Perceptual

if TYPE_CHECKING:
    from asap.degrade.diffusion import Screen

__all__ = ["PERCEPTUALS", "SCREENS", "Screening", "perceptual_of", "screen_of", "screened"]

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
def screen_of(screening: Screening, landmarker: str, options: tuple[tuple[str, str], ...] = ()) -> "Screen":
    """The screen; ``landmarks`` looks with the landmarker of the build, of which ``options`` are given."""
    from asap import regions
    from asap.degrade.diffusion import LandmarkScreen, VlmScreen

    if screening.kind == "landmarks":
        finder = regions.landmarker(landmarker, **dict(options))
        return LandmarkScreen(finder.find, finder.name, finder.fingerprint)
    from asap.workflows.runtime.http import Endpoint, ask

    endpoint = Endpoint(url=screening.url, model=screening.model, key=os.environ.get(KEY, ""))

    def probability(first: ByteArray, second: ByteArray, question: str) -> float:
        words = ask(endpoint, question + _ANSWER, first, second).casefold()
        named = ["first" in words, "second" in words]
        return UNSURE if named[0] == named[1] else float(named[1])

    return VlmScreen(probability, screening.model, digest_json({"model": screening.model, "answer": _ANSWER}))


def screened(
    screen: Any,  # noqa: ANN401  (a protocol of the room)
    least: float,
    edited: EditedPhoto,
    part: PartRegion,
) -> EditedPhoto | None:
    """The pair with what the screen says of it in its detail, or None where the rejected side is not surely worse."""
    worse = float(screen.worse(edited.chosen, edited.rejected, part))
    if worse < least:
        return None
    detail = {**edited.edit.detail, "screen": round(worse, 4)}
    instruments = (*edited.instruments, str(screen.name))
    return replace(edited, edit=replace(edited.edit, detail=detail), instruments=instruments)
