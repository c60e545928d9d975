"""The judge ``ensemble``: the majority of several judges."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from asap.benchmark.ensemble import vote_of
from asap.benchmark.verdict import Judge, JudgeInput, Verdict
from asap.core.errors import ConfigError
from asap.core.hashing import digest_json

__all__ = ["EnsembleJudge"]


class EnsembleJudge(Judge):
    """An image fails if more than half of the members that scored it say so."""

    name = "ensemble"

    def __init__(self, members: Sequence[Judge]) -> None:
        """Raises ``ConfigError`` for fewer than two members or for two of one fingerprint."""
        fingerprints = [member.fingerprint for member in members]
        if len(members) < 2 or len(set(fingerprints)) < len(fingerprints):
            raise ConfigError(f"an ensemble needs two or more different judges, got {[m.name for m in members]}")
        names = [member.name for member in members]
        unique = len(set(names)) == len(names)
        self._members = dict(zip(names if unique else _numbered(len(names)), members, strict=True))
        self.made_for = next((member.made_for for member in members if member.made_for), None)

    @property
    def fingerprint(self) -> str:
        """Of all members; their order does not matter."""
        return digest_json(sorted(member.fingerprint for member in self._members.values()))

    def judge(self, images: Iterable[JudgeInput]) -> Iterator[Verdict]:
        """One verdict per image, in order."""
        copies = itertools.tee(images, len(self._members))
        streams = [member.judge(copy) for member, copy in zip(self._members.values(), copies, strict=True)]
        for votes in zip(*streams, strict=True):
            yield vote_of(dict(zip(self._members, votes, strict=True)))


def _numbered(count: int) -> list[str]:
    return [f"member {place}" for place in range(1, count + 1)]
