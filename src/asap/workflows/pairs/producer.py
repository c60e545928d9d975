"""What a producer of pairs is (``workflows.pairs.builder`` calls it)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, ClassVar, Protocol

from asap.core import settings
from asap.core.manifest import Instrument
from asap.workflows.pairs.candidate import Candidate, Group, Refusal
from asap.workflows.pairs.filters import PairFilter

__all__ = ["PairProducer"]


class PairProducer(Protocol):
    """Proposes pairs; everything else is the builder's. Only ``name`` and ``propose`` have no default.

    A producer is a frozen dataclass whose fields are its settings; ``seed`` and ``count`` are two of them. It is
    pickled once for each worker process, so models are loaded where they are used and kept in a cache of the module.
    ``propose`` is pure: the same index and attempt give the same candidate in any process.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    seed: int
    count: int | None
    """Pairs wanted; None to try ``total`` indices."""

    name: ClassVar[str]
    """Of the kind of store, as ``source`` in its settings."""
    title: ClassVar[str] = "building pairs"
    """Of the progress bar."""
    versions: ClassVar[tuple[str, ...]] = ("numpy",)
    """Packages whose versions the manifest records."""
    stored: ClassVar[Mapping[str, str]] = {"identity_pool": "namespace"}
    """Fields that the store's settings hold under another name, or under "" not at all."""
    tries: ClassVar[int] = 4
    """Candidates that gates and screen may refuse before an index is given up."""
    attempts: ClassVar[int] = 4
    """Calls of ``propose`` for one index at most."""
    most: ClassVar[int] = 50
    """Indices tried for each pair wanted, after which the settings are said to be unfit."""

    def __post_init__(self) -> None:
        """Refuse settings of a wrong type, name or range; raises ``ConfigError``."""
        settings.check_types(self)
        settings.check(self)

    def config(self) -> Mapping[str, object]:
        """Plain values that decide the content of the store; they are stored, and compared when a build continues."""
        own = {self.stored.get(item.name, item.name): getattr(self, item.name) for item in fields(self) if item.init}
        own.pop("", None)
        return {"source": self.name, **own, "tries": self.tries, "gates": asdict(self.filter.limits)}

    def instruments(self) -> tuple[Instrument, ...]:
        """Models that have a say in which pairs there are, besides those of ``filter``."""
        return ()

    def propose(self, indices: Sequence[int], attempt: int) -> Sequence[Candidate | Refusal]:
        """One answer for each of ``indices``, in order; ``attempt`` counts from 0."""
        ...

    @property
    def chunk(self) -> int:
        """Indices that are written at once; a kill costs at most so many."""
        return 128

    @property
    def batch(self) -> int:
        """Indices proposed at once: what fills a device, or a moment's work of a process."""
        return 4

    @property
    def filter(self) -> PairFilter:
        """The gates and the screen that candidates must pass."""
        return PairFilter()

    @property
    def total(self) -> int:
        """Number of indices that may be tried."""
        return self.most * (self.count or 0)

    @property
    def one_process(self) -> bool:
        """Whether ``propose`` fills a device by itself, so that more processes would only share it."""
        return False

    def prepare(self) -> None:
        """Called once in every process before the first batch: load what every batch needs."""
        return

    def groups(self, indices: Sequence[int]) -> Iterable[Group]:
        """The photographs of a batch; none where every index is an image of its own."""
        del indices
        return ()
