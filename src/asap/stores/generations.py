"""Generation store: a folder of images by prompt and seed, with the prompt and a hash of each image.

DIR/
  config.json              model, adapter hash, steps, guidance, seeds: everything that decides the images
  00000/metadata.jsonl     one line: prompt 0 with its metadata
  00000/samples/0000.png   its image of seed 0; the layout that GenEval's evaluation reads
  generations.jsonl        one row for each image, appended after the image is on disk
  manifest.json            written when all is done

Several processes may fill one store, each with its own share of the prompts and its own journal
(``generations-1.jsonl``...); ``finish`` joins them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from asap.core.errors import InputError, StoreError
from asap.core.files import write_bytes, write_text
from asap.core.hashing import canonical_json, digest, digest_json
from asap.core.manifest import Manifest
from asap.core.records import ByteArray
from asap.stores.config import NAME as CONFIG
from asap.stores.config import claim
from asap.stores.journal import Journal, read_growing, read_journal
from asap.stores.lock import NAME, WriterLock
from asap.stores.png import decode, encode

__all__ = ["Generation", "GenerationStore", "GenerationWriter"]

ROWS: Final = "generations.jsonl"
SHARES: Final = "generations-*.jsonl"
PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(_[A-Za-z0-9.-]+)*")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One image of the store, without its pixels."""

    prompt_id: str
    seed: int
    prompt: str
    category: str
    file: str
    """Path below the store's folder."""
    digest: str
    """SHA-256 of the pixels (shape and bytes)."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Metadata of the prompt, such as expected parts and attributes; JSON values."""

    @property
    def key(self) -> tuple[str, int]:
        """Prompt id and seed, which identify an image in its store."""
        return self.prompt_id, self.seed


class GenerationWriter:
    """One writer per share; a context manager. Images that are on disk are listed by ``done``."""

    def __init__(self, root: Path | str, config: Mapping[str, object], *, share: int = 0) -> None:
        """Start a store at ``root``, or continue one with the same ``config``.

        Args:
            root: folder of the store.
            config: everything that decides the images.
            share: number of this process among those that fill the store together; process 0 starts and finishes it.

        Raises:
            InputError: the settings differ, or the folder holds something else or is unwritable.
            StoreError: it is being written by another process, or is damaged.
        """
        self.root, self._share = Path(root), share
        self._lock = WriterLock(self.root, NAME if share == 0 else f"{NAME}-{share}")
        try:
            claim(self.root, "generations", config)
            self._journal = Journal(self.root / (ROWS if share == 0 else SHARES.replace("*", str(share))))
        except BaseException:
            self._lock.release()
            raise
        self._rows = {_key(row): row for row in [*self._others(), *self._journal.rows]}

    def __enter__(self) -> "GenerationWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        self._lock.release()

    def done(self) -> set[tuple[str, int]]:
        """(prompt_id, seed) of every image that was on disk, of any share, when this writer was made, and since."""
        return set(self._rows)

    def add(
        self,
        prompt_id: str,
        seed: int,
        image: ByteArray,
        *,
        prompt: str,
        category: str,
        extra: Mapping[str, object] | None = None,
        place: int | None = None,
    ) -> None:
        """Store one image, uint8 (H, W, 3).

        Args:
            prompt_id: of the prompt.
            seed: of the image.
            image: its pixels.
            prompt: the text.
            category: of the prompt.
            extra: metadata of the prompt.
            place: of the prompt in its suite; the next free one if None, which is for a single writer only.

        Raises:
            InputError: it is there already, its id is no plain file name, or the disk refuses.
        """
        if (prompt_id, seed) in self._rows:
            raise InputError(f"{self.root} has prompt {prompt_id!r} with seed {seed} already; check done() first")
        if not PLAIN.fullmatch(prompt_id):
            raise InputError(f"a prompt id is a plain word of letters, digits, '.', '-' and '_', got {prompt_id!r}")
        folder = self.root / f"{self._place(prompt_id) if place is None else place:05d}"
        metadata = dict(extra or {})
        if not (folder / "metadata.jsonl").exists():
            line = {**metadata, "id": prompt_id, "tag": category, "prompt": prompt}
            write_text(folder / "metadata.jsonl", canonical_json(line) + "\n")
        name = f"{folder.name}/samples/{seed:04d}.png"
        write_bytes(self.root / name, encode(image))
        row = Generation(
            prompt_id=prompt_id, seed=seed, prompt=prompt, category=category, file=name, digest=_digest(image),
            extra=metadata,
        )  # fmt: skip
        self._journal.append(asdict(row))
        self._rows[row.key] = self._journal.rows[-1]

    def _place(self, prompt_id: str) -> int:
        """The prompt's folder, or the next number."""
        folders = {str(row["prompt_id"]): str(row["file"]).split("/")[0] for row in self._rows.values()}
        return int(folders[prompt_id]) if prompt_id in folders else len(folders)

    def _others(self) -> list[dict[str, Any]]:
        """Rows of all journals but our own, as far as they are written."""
        paths = sorted({*self.root.glob(SHARES), *self.root.glob(ROWS)} - {self._journal.path})
        return [row for path in paths for row in read_growing(path)]

    def finish(self, manifest: Manifest) -> str:
        """Add the rows of the other shares and write ``manifest`` with the content hash among its notes.

        Call it on share 0 when the others are done. Returns the hash, which ignores order.

        Raises:
            StoreError: the store is empty.
        """
        own = {_key(row) for row in self._journal.rows}
        for row in self._others():
            if _key(row) not in own:
                self._journal.append(row)
                self._rows[_key(row)] = row
        whole = _content_hash(self.root, self._journal.rows)
        for path in self.root.glob(SHARES):
            path.unlink()
        notes = {**manifest.notes, "content_hash": whole, "images": len(self._rows)}
        replace(manifest, notes=notes).write(self.root / "manifest.json")
        return whole


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["prompt_id"], row["seed"]


class GenerationStore:
    """A finished store; ``rows`` is sorted by prompt id and seed."""

    def __init__(self, root: Path, manifest: Manifest, rows: Iterable[Generation]) -> None:
        """Use ``open``."""
        self.root, self.manifest = root, manifest
        self.rows = sorted(rows, key=lambda row: row.key)
        self._by_key = {row.key: row for row in self.rows}

    @classmethod
    def open(cls, root: Path | str) -> "GenerationStore":
        """Open the store at ``root``; each image is checked against its digest when it is read.

        Raises:
            StoreError: it is missing, unfinished, empty or damaged.
        """
        folder = Path(root)
        if not (folder / "manifest.json").is_file():
            started = (folder / CONFIG).is_file()
            how = "it was stopped; run the same command again" if started else "make it with `asap generate`"
            raise StoreError(f"{folder} is not a finished generation store; {how}")
        manifest, rows = Manifest.read(folder / "manifest.json"), read_journal(folder / ROWS)
        if _content_hash(folder, rows) != manifest.notes.get("content_hash"):
            raise StoreError(f"{folder / ROWS} does not match its manifest; delete {folder} and generate again")
        try:
            return cls(folder, manifest, [Generation(**row) for row in rows])
        except TypeError as error:
            raise StoreError(f"{folder / ROWS} has rows of another version ({error}); generate again") from error

    @property
    def content_hash(self) -> str:
        """Hash over the prompt ids, seeds and pixels of all rows."""
        return str(self.manifest.notes["content_hash"])

    def __len__(self) -> int:
        return len(self.rows)

    def get(self, prompt_id: str, seed: int) -> Generation:
        """The row of a prompt and seed; raises ``StoreError`` if it is not there."""
        try:
            return self._by_key[prompt_id, seed]
        except KeyError:
            raise StoreError(f"{self.root} has no image of prompt {prompt_id!r} with seed {seed}") from None

    def image(self, row: Generation) -> ByteArray:
        """Pixels of a row, uint8 (H, W, 3).

        Raises:
            StoreError: the file is missing or is not the image that was stored.
        """
        path = self.root / row.file
        try:
            image = decode(path.read_bytes())
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}; generate again") from error
        except StoreError as error:
            raise StoreError(f"{path} is damaged; delete {self.root} and generate again") from error
        if _digest(image) != row.digest:
            raise StoreError(f"{path} is not the image that was stored; delete {self.root} and generate again")
        return image


def _digest(image: ByteArray) -> str:
    return digest(str(image.shape).encode() + image.tobytes())


def _content_hash(root: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    keys = sorted((str(row.get("prompt_id")), str(row.get("seed")), str(row.get("digest"))) for row in rows)
    if not keys:
        raise StoreError(f"{root} has no images; generate some first")
    return digest_json(keys)
