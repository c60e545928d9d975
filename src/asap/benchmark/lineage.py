"""No instrument may pick the pairs and mark the exam."""

from collections.abc import Iterable

from asap.core.errors import InputError
from asap.core.manifest import Manifest

__all__ = ["refuse_own_examiner"]


def refuse_own_examiner(judge: str, ancestors: Iterable[Manifest]) -> None:
    """Refuse to judge a model whose pairs were picked by the same judge.

    Args:
        judge: fingerprint of the judge.
        ancestors: manifests of everything upstream of the pictures.

    Raises:
        InputError: one of them names the judge among its pair gates.
    """
    for manifest in ancestors:
        for instrument in manifest.instruments:
            if instrument.role == "pair_gate" and instrument.fingerprint == judge:
                raise InputError(
                    f"the judge {judge[:12]} also picked the training pairs (as {instrument.name!r} of a "
                    f"{manifest.kind}), so its verdict on this model is worthless; use another judge or other pairs"
                )
