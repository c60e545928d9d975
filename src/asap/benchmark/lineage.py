"""Independence of the judge: it must not have selected the training pairs, nor been trained on them."""

from collections.abc import Iterable
from typing import Final

from asap.core.errors import InputError
from asap.core.manifest import Manifest

__all__ = ["refuse_own_examiner", "shared_instruments"]


PICKING: Final = ("pair_gate", "screen")
"""Roles of instruments that decide which pairs a model is aligned with."""


def refuse_own_examiner(
    judge: str, ancestors: Iterable[Manifest], *, taught_on: str | None = None, name: str | None = None
) -> None:
    """Refuse to judge a model whose training pairs were selected by the same judge, or were the judge's training pairs.

    Args:
        judge: fingerprint of the judge.
        ancestors: manifests of everything upstream of the images.
        taught_on: content hash of the pairs that the judge was trained on, None if it is not known.
        name: of the judge; a screen of that name is the same model under another prompt or threshold.

    Raises:
        InputError: one of them names the judge among its pair gates or screens, or is made from those pairs.
    """
    for manifest in ancestors:
        for instrument in manifest.instruments:
            same = instrument.fingerprint == judge or (instrument.role == "screen" and instrument.name == name)
            if instrument.role in PICKING and same:
                raise InputError(
                    f"the judge {judge[:12]} also picked the training pairs (as {instrument.name!r} of a "
                    f"{manifest.kind}), so its verdict on this model is worthless; use another judge or other pairs"
                )
        if taught_on and taught_on in manifest.content_hashes():
            raise InputError(
                f"the judge {judge[:12]} was trained on the pairs that this model was aligned with ({taught_on[:12]}), "
                "so its verdict is worthless; use another judge or other pairs"
            )


def shared_instruments(verdicts: Manifest, ancestors: Iterable[Manifest], parts: Iterable[str] = ()) -> list[str]:
    """Instruments that judged the images and also took part in making the pairs, as ``NAME (ROLE)``.

    A judge that selected pairs is refused (``refuse_own_examiner``); one that detected or described the people in them
    is not independent either. ``parts`` are names of the judge's components, such as its landmarker or hosted model.
    """
    judges = [one for one in verdicts.instruments if one.role == "judge"]
    names = {one.name for one in judges} | set(parts)
    found = [
        f"{other.name} ({other.role.replace('_', ' ')})"
        for manifest in ancestors
        for other in manifest.instruments
        if other.role not in ("judge", "generator")
        and (other.name in names or any(other.fingerprint == one.fingerprint for one in judges))
    ]
    return list(dict.fromkeys(found))
