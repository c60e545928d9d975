"""Manifests: the parents, settings, versions and instruments of every artefact.

The list of instruments keeps a benchmark valid: a judge must not have selected the pairs that a model was aligned with.
``Manifest.instruments`` therefore lists everything that judged anatomy anywhere upstream.
"""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Final, cast

from asap.core.errors import StoreError
from asap.core.files import read_json, write_json
from asap.core.hashing import digest_json

__all__ = ["ROLES", "Instrument", "Manifest", "Parent", "environment"]

FORMAT: Final = 1
ROLES: Final = ("pair_gate", "judge", "generator", "landmarker", "screen", "captioner")
PACKAGES: Final = (
    "asap-anatomy",
    "accelerate",
    "anny",
    "datasets",
    "diffusers",
    "numpy",
    "peft",
    "pillow",
    "pyarrow",
    "scikit-image",
    "torch",
    "transformers",
    "warp-lang",
)


def environment() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result; absent packages are left out."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True)
class Parent:
    """An artefact from which this one was made: its kind, its path, and the hash of its content."""

    kind: str
    path: str
    content_hash: str


@dataclass(frozen=True)
class Instrument:
    """Something that judged or produced anatomy: its role (one of ``ROLES``), its name, a hash of weights or rules."""

    role: str
    name: str
    fingerprint: str

    def __post_init__(self) -> None:
        """Refuse a role outside the closed list. This is an internal error, hence not an ``InputError``."""
        if self.role not in ROLES:
            raise ValueError(f"unknown instrument role {self.role!r}; known: {', '.join(ROLES)}")


@dataclass(frozen=True)
class Manifest:
    """Identity and origin of an artefact. All values are plain, so that the file is JSON."""

    kind: str
    config: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=environment)
    parents: tuple[Parent, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    notes: Mapping[str, object] = field(default_factory=dict)

    def write(self, path: Path | str) -> None:
        """Write as JSON, atomically. Raises ``InputError`` if the path cannot be written."""
        write_json(path, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, path: Path | str) -> "Manifest":
        """Read a file that ``write`` wrote.

        Raises:
            StoreError: the file is missing, or not a manifest of this format.
        """
        value = read_json(path)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise StoreError(f"{path} is not a manifest of format {FORMAT}; create it again with this version")
        try:
            return cls(
                kind=str(value["kind"]),
                config=cast("dict[str, object]", value["config"]),
                versions=cast("dict[str, str]", value["versions"]),
                parents=tuple(Parent(**row) for row in value["parents"]),
                instruments=tuple(Instrument(**row) for row in value["instruments"]),
                notes=cast("dict[str, object]", value["notes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path} is not a complete manifest ({error}); create it again") from error

    def content_hashes(self) -> set[str]:
        """Hashes of the content of the artefact, of its parents, and of the ``ancestors`` in its notes."""
        own, further = self.notes.get("content_hash"), self.notes.get("ancestors")
        found = {parent.content_hash for parent in self.parents} | ({str(own)} if own else set())
        return found | (set(map(str, further)) if isinstance(further, list | tuple) else set())

    def fingerprint(self) -> str:
        """Hash of kind, config, parents and instruments; versions and notes do not count."""
        whole = asdict(self)
        return digest_json({key: whole[key] for key in ("kind", "config", "parents", "instruments")})
