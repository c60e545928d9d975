"""The settings a store was started with: written beside its data, and compared when a writer continues it."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from asap.core.errors import InputError, StoreError
from asap.core.files import TEMPORARY, read_json, write_json
from asap.core.hashing import canonical_json
from asap.stores.lock import NAME as LOCK

__all__ = ["NAME", "claim"]

NAME = "config.json"


def claim(root: Path, kind: str, config: Mapping[str, object]) -> None:
    """Write ``config`` into a new store, or check that the store at ``root`` was started with the same.

    Raises:
        InputError: the settings differ (every differing key is named), or the folder holds something else.
        StoreError: the settings on disk cannot be read.
    """
    path = root / NAME
    wanted = {"kind": kind, **config}
    if not path.exists():
        others = [item.name for item in root.iterdir() if not item.name.startswith((LOCK, TEMPORARY))]
        if others:
            raise InputError(f"{root} holds {others[0]} but no {kind} store; choose a new or an empty folder")
        write_json(path, wanted)
        return
    found = read_json(path)
    if not isinstance(found, dict):
        raise StoreError(f"{path} does not hold settings; choose a new folder")
    faults = _differences(cast("dict[str, object]", found), wanted)
    if faults:
        raise InputError(
            f"{root} was started with other settings ({'; '.join(faults)}); use the same settings or another folder"
        )


def _differences(found: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    faults = []
    for key in sorted({*found, *wanted}):
        stored, wanted_value = (canonical_json(side[key]) if key in side else "unset" for side in (found, wanted))
        if stored != wanted_value:
            faults.append(f"{key} is {stored}, not {wanted_value}")
    return faults
