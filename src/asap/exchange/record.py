"""Convert an exchanged pair to a record of a pair store, with every fact checked and missing facts marked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from asap.core.hashing import digest
from asap.core.pairs import assemble_pair, split_of
from asap.core.records import ByteArray, Edit, FloatArray, GateResult, PairRecord, SceneTruth
from asap.core.seeds import derive
from asap.core.vocabulary import CATEGORIES, KINDS, OPERATIONS, PARTS, REGIONS, SIDES, UNKNOWN, UNSPECIFIED
from asap.exchange.images import decode_image, decode_mask, decode_regions
from asap.exchange.pair import Refused, SharedPair

__all__ = ["GATE", "to_record"]

GATE: Final = "gate_"
MEASURED: Final = "max_abs_diff_outside"
"""The gate that the store measures itself; an imported value is not used."""
SPLITS: Final = ("train", "val", "test")
WHERE: Final = "imported_from"
Kind = TypeVar("Kind")


class _NoPairError(Exception):
    """Carries a ``Refused`` out of the functions below."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.reason)
        self.refused = refused


class _WrongFactError(_NoPairError):
    """A fact does not have the type or range of its column."""

    def __init__(self, detail: str) -> None:
        super().__init__(Refused("bad_facts", detail))


@dataclass(frozen=True)
class _Arrays:
    chosen: ByteArray
    rejected: ByteArray
    mask: ByteArray
    regions: ByteArray
    notes: tuple[str, ...]


def to_record(pair: SharedPair, *, where: str, index: int, gates: tuple[str, ...], own: bool) -> PairRecord | Refused:
    """The record of ``pair``, or the reason why there is none.

    Args:
        pair: from the ``parse`` function of a format.
        where: file and row, for messages; the source of a pair without one.
        index: its index in the store.
        gates: gate values that have columns in the store; others are dropped.
        own: whether the whole set is our own export, whose splits are kept. Otherwise the split follows from the
            person, the source or the caption, whichever is known first, so that no group is in two splits.
    """
    try:
        return _record(_Facts(pair.facts), pair, _arrays(pair), where, index, gates, own)
    except _NoPairError as error:
        return error.refused


def _arrays(pair: SharedPair) -> _Arrays:
    chosen, rejected = _or_raise(decode_image(pair.chosen)), _or_raise(decode_image(pair.rejected))
    shape, notes = chosen.shape[:2], []
    mask, regions = np.full(shape, 255, np.uint8), np.zeros(shape, np.uint8)
    if pair.mask is None:
        notes.append("everywhere")
    else:
        mask, grey = _or_raise(decode_mask(pair.mask))
        notes += ["binarized"] * grey
    if pair.regions is not None:
        regions = _or_raise(decode_regions(pair.regions))
    for name, array in (("rejected image", rejected), ("mask", mask), ("part map", regions)):
        if array.shape[:2] != shape:
            _or_raise(Refused("sizes_differ", f"the chosen image is {shape}, the {name} is {array.shape[:2]}"))
    if regions.max(initial=0) >= len(REGIONS):
        _or_raise(Refused("bad_regions", f"wanted part ids below {len(REGIONS)}, got {regions.max()}"))
    return _Arrays(chosen, rejected, mask, regions, tuple(notes))


def _or_raise(value: Kind | Refused) -> Kind:
    """``value``, or raise if it is a refusal."""
    if isinstance(value, Refused):
        raise _NoPairError(value)
    return value


class _Facts:
    """Facts by name with the types of the columns; raises ``_WrongFactError`` if one does not fit."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values

    def text(self, name: str, otherwise: str, known: tuple[str, ...] = ()) -> str:
        value = self.values.get(name, otherwise)
        if not isinstance(value, str) or (known and value not in known):
            raise _WrongFactError(f"{name} must be {' or '.join(known) if known else 'text'}, got {value!r:.60}")
        return value

    def whole(self, name: str, otherwise: int, below: int = 1 << 63) -> int:
        value = self.values.get(name, otherwise)
        if type(value) is not int or not 0 <= value < below:
            raise _WrongFactError(f"{name} must be a whole number from 0 to {below - 1}, got {value!r:.60}")
        return value

    def texts(self, name: str, known: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.values.get(name, ())
        if not isinstance(value, list | tuple) or not all(
            isinstance(item, str) and (not known or item in known) for item in value
        ):
            raise _WrongFactError(f"{name} must be a list of {' or '.join(known) or 'texts'}, got {value!r:.60}")
        return tuple(value)

    def plain(self, name: str) -> dict[str, float | int | str]:
        value = self.values.get(name, {})
        if not isinstance(value, dict) or not all(map(_is_scalar, value.values())):
            raise _WrongFactError(f"{name} must be an object of texts and finite numbers, got {value!r:.60}")
        return dict(value)

    def keypoints(self) -> FloatArray:
        value = self.values.get("keypoints", [])
        try:
            points = np.asarray(value or np.zeros((0, 3)), np.float32)
        except (ValueError, TypeError):
            points = np.zeros(0, np.float32)
        if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
            raise _WrongFactError(f"keypoints must be rows of three finite numbers, got {value!r:.60}")
        return points

    def gates(self, names: tuple[str, ...]) -> dict[str, float]:
        found = {name: self.values.get(GATE + name) for name in names if name != MEASURED}
        given = {name: value for name, value in found.items() if value is not None}
        wrong = [name for name, value in given.items() if not _is_scalar(value) or isinstance(value, str)]
        if wrong:
            raise _WrongFactError(f"{GATE}{wrong[0]} must be a finite number, got {given[wrong[0]]!r:.60}")
        return {name: float(value) for name, value in given.items()}  # type: ignore[arg-type]


def _is_scalar(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))


def _record(
    facts: _Facts, pair: SharedPair, arrays: _Arrays, where: str, index: int, gates: tuple[str, ...], own: bool
) -> PairRecord:
    group = facts.text("person", "") or facts.text("source", "") or pair.prompt
    person = facts.text("person", "") or f"import-{digest(group.encode())[:16]}"
    recipe = facts.plain("recipe")
    if not own:
        recipe |= {WHERE: where}
    if arrays.notes:
        recipe |= {"mask": " ".join(arrays.notes)}
    named = f"import-{derive(index, digest(pair.chosen), digest(pair.rejected)):016x}"
    return assemble_pair(
        uid=facts.text("uid", named) or named,
        index=index,
        chosen=arrays.chosen,
        rejected=arrays.rejected,
        mask=arrays.mask,
        regions=arrays.regions,
        edit=_edit(facts),
        truth=SceneTruth(
            person=person,
            category=facts.text("category", UNSPECIFIED, (*CATEGORIES, UNSPECIFIED)),
            caption=pair.prompt,
            attributes={name: str(value) for name, value in facts.plain("attributes").items()},
            visible_parts=facts.texts("visible_parts", PARTS),
            seed=facts.whole("seed", 0),
        ),
        gates=GateResult(values=facts.gates(gates), reasons=()),
        keypoints=facts.keypoints(),
        split=facts.text("split", "", SPLITS) if own else split_of(0, group),
        recipe=recipe,
        source=facts.text("source", where),
        parents=facts.texts("parents"),
    )


def _edit(facts: _Facts) -> Edit:
    kind = facts.text("kind", "defect", KINDS)
    defect = kind == "defect"
    operations = (*OPERATIONS, UNKNOWN) if defect else ("none",)
    return Edit(
        kind=kind,
        part=facts.text("part", UNKNOWN, (*PARTS, UNKNOWN)),
        side=facts.text("side", "none", SIDES),
        operation=facts.text("operation", operations[-1], operations),
        severity=facts.whole("severity", 0, 4 if defect else 1),
        detail=facts.plain("detail"),
    )
