"""Verdict store: one judge's verdict on each image of one generation store. "Not scored" is a verdict, too.

DIR/
  config.json      judge and its fingerprint, thresholds, content hash of the generations
  verdicts.jsonl   one row for each image
  manifest.json    written when all is done
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from asap.core.errors import InputError, StoreError
from asap.core.hashing import digest_json
from asap.core.manifest import Manifest
from asap.stores.config import NAME as CONFIG
from asap.stores.config import claim
from asap.stores.journal import Journal, read_journal
from asap.stores.lock import WriterLock

__all__ = ["VerdictRow", "VerdictStore", "VerdictWriter"]

ROWS: Final = "verdicts.jsonl"


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """The verdict on one image."""

    prompt_id: str
    seed: int
    category: str
    fails: bool | None
    """Whether the anatomy is wrong anywhere; None if the judge gave no answer."""
    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    """For each part: ``visible`` and ``wrong``, probabilities in [0, 1]."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Caption attributes as the judge reads them: skin, background, fingers..."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Other JSON values: scores, the reason why it is not scored."""

    @property
    def key(self) -> tuple[str, int]:
        """Prompt id and seed, which identify an image."""
        return self.prompt_id, self.seed


class VerdictWriter:
    """One writer; a context manager. Images that were judged before are listed by ``done``."""

    def __init__(self, root: Path | str, config: Mapping[str, object]) -> None:
        """Start a store at ``root``, or continue one with the same ``config``.

        Raises:
            InputError: the settings differ, or the folder holds something else or is unwritable.
            StoreError: it is being written by another process, or is damaged.
        """
        self.root = Path(root)
        self._lock = WriterLock(self.root)
        try:
            claim(self.root, "verdicts", config)
            self._journal = Journal(self.root / ROWS)
        except BaseException:
            self._lock.release()
            raise
        self._done = {(row["prompt_id"], row["seed"]) for row in self._journal.rows}

    def __enter__(self) -> "VerdictWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        self._lock.release()

    def done(self) -> set[tuple[str, int]]:
        """(prompt_id, seed) of every image judged."""
        return set(self._done)

    def add(self, row: VerdictRow) -> None:
        """Append one verdict; raises ``InputError`` if the image was judged already or the disk refuses."""
        if row.key in self._done:
            raise InputError(f"{self.root} already has a verdict on {row.key}; check done() first")
        self._journal.append(asdict(row))
        self._done.add(row.key)

    def finish(self, manifest: Manifest) -> str:
        """Write ``manifest`` with the content hash among its notes; returns the hash, which ignores order.

        Raises:
            StoreError: the store is empty.
        """
        whole = _content_hash(self.root, self._journal.rows)
        unscored = sum(row["fails"] is None for row in self._journal.rows)
        notes = {**manifest.notes, "content_hash": whole, "verdicts": len(self._done), "unscored": unscored}
        replace(manifest, notes=notes).write(self.root / "manifest.json")
        return whole


class VerdictStore:
    """A finished store; ``rows`` is sorted by prompt id and seed."""

    def __init__(self, root: Path, manifest: Manifest, rows: Iterable[VerdictRow]) -> None:
        """Use ``open``."""
        self.root, self.manifest = root, manifest
        self.rows = sorted(rows, key=lambda row: row.key)

    @classmethod
    def open(cls, root: Path | str) -> "VerdictStore":
        """Open the store at ``root``.

        Raises:
            StoreError: it is missing, unfinished, empty or damaged.
        """
        folder = Path(root)
        if not (folder / "manifest.json").is_file():
            started = (folder / CONFIG).is_file()
            how = "it was stopped; run the same command again" if started else "make it with `asap judge run`"
            raise StoreError(f"{folder} is not a finished verdict store; {how}")
        manifest, rows = Manifest.read(folder / "manifest.json"), read_journal(folder / ROWS)
        if _content_hash(folder, rows) != manifest.notes.get("content_hash"):
            raise StoreError(f"{folder / ROWS} does not match its manifest; delete {folder} and judge again")
        try:
            return cls(folder, manifest, [VerdictRow(**row) for row in rows])
        except TypeError as error:
            raise StoreError(f"{folder / ROWS} has rows of another version ({error}); judge again") from error

    @property
    def content_hash(self) -> str:
        """Hash over all rows."""
        return str(self.manifest.notes["content_hash"])

    def __len__(self) -> int:
        return len(self.rows)


def _content_hash(root: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    digests = sorted(map(digest_json, rows))
    if not digests:
        raise StoreError(f"{root} has no verdicts; judge some images first")
    return digest_json(digests)
