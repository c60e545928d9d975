"""The judges by name, each with its own settings. There is no default: whoever measures says with what."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from asap.benchmark.ensemble import vote_of
from asap.benchmark.landmarks import RULES, examine
from asap.benchmark.verdict import Judge, Picture, Verdict
from asap.core.errors import ConfigError, UnknownNameError
from asap.core.hashing import digest_json
from asap.core.settings import typed
from asap.regions.landmarkers import landmarker
from asap.workflows.evaluation.vlm import VlmJudge, VlmSettings

__all__ = ["JUDGES", "KEY_VARIABLE", "KNOWN", "LearnedJudge", "judge_by_name"]

KEY_VARIABLE: Final = "ASAP_JUDGE_KEY"
"""Environment variable with the endpoint's secret; it is written nowhere."""
JUDGES: Final = ("learned", "landmarks", "vlm", "human", "ensemble")
KNOWN: Final = (*JUDGES, "a folder of a learned judge")
BATCH: Final = 64
CHUNK: Final = 16
"""Images that the network sees at once, always: kernels may round differently at another number, and a verdict must
not depend on where a run was stopped."""
Report = Callable[[str], None]
Options = Mapping[str, Any]


class LearnedJudge:
    """The trained network: ``learned`` is the packaged one, anything else a folder."""

    name = "learned"

    def __init__(self, folder: str | Path = "learned", device: str = "auto") -> None:
        """Raises ``StoreError`` if there is no whole judge, ``InputError`` if this machine lacks the device."""
        from asap.workflows.evaluation.learned import judge_named

        self.stored = judge_named(folder, device)

    @property
    def fingerprint(self) -> str:
        """Of weights, layout and threshold."""
        return self.stored.fingerprint

    def judge(self, pictures: Iterable[Picture]) -> Iterator[Verdict]:
        """One verdict per image, in order; images of one size go through the network together."""
        batch: list[Picture] = []
        for picture in pictures:
            if batch and (len(batch) == BATCH or picture.image.shape != batch[0].image.shape):
                yield from self._batch(batch)
                batch = []
            batch.append(picture)
        if batch:
            yield from self._batch(batch)

    def _batch(self, rows: list[Picture]) -> list[Verdict]:
        from asap.benchmark.judge import predict, verdicts

        images = np.stack([row.image for row in rows] + [rows[-1].image] * (-len(rows) % CHUNK))
        found = predict(self.stored.network, images, batch=CHUNK)
        return verdicts(found, self.stored.threshold, [row.parts for row in rows])


@dataclass(frozen=True, kw_only=True)
class LandmarkSettings:
    """Settings of the judge ``landmarks``."""

    landmarker: str = "mediapipe"


class LandmarksJudge:
    """Lengths and angles of a landmarker's points."""

    name = "landmarks"

    def __init__(self, settings: LandmarkSettings) -> None:
        """Raises ``StoreError`` or ``MissingDependencyError`` if the landmarker is not on this machine."""
        self._landmarker = landmarker(settings.landmarker)

    @property
    def fingerprint(self) -> str:
        """Of the landmarker and the rules."""
        return digest_json({"landmarker": self._landmarker.fingerprint, "rules": RULES})

    def judge(self, pictures: Iterable[Picture]) -> Iterator[Verdict]:
        """One verdict per image, in order."""
        for picture in pictures:
            yield examine(self._landmarker.find(picture.image), picture.parts)


@dataclass(frozen=True, kw_only=True)
class EnsembleSettings:
    """Settings of the judge ``ensemble``."""

    members: str
    """Names of judges, or folders of learned ones, joined by ``+``; members take their own defaults, and ``vlm`` and
    ``human`` take the settings that are given beside ``members``."""


class EnsembleJudge:
    """Several judges; an image is what more than half of those that scored it say."""

    name = "ensemble"

    def __init__(self, members: tuple[Judge, ...]) -> None:
        """Raises ``ConfigError`` for fewer than two members or for two of one fingerprint."""
        prints = [member.fingerprint for member in members]
        if len(members) < 2 or len(set(prints)) < len(prints):
            raise ConfigError(f"an ensemble needs two or more different judges, got {[m.name for m in members]}")
        self.members = members

    @property
    def fingerprint(self) -> str:
        """Of all members; their order does not matter."""
        return digest_json(sorted(member.fingerprint for member in self.members))

    def judge(self, pictures: Iterable[Picture]) -> Iterator[Verdict]:
        """One verdict per image, in order."""
        names = [member.name for member in self.members]
        copies = itertools.tee(pictures, len(self.members))
        said = zip(*(member.judge(copy) for member, copy in zip(self.members, copies, strict=True)), strict=True)
        for votes in said:
            yield vote_of(dict(zip(names, votes, strict=False)) if len(set(names)) == len(names) else _numbered(votes))


def _numbered(votes: tuple[Verdict, ...]) -> dict[str, Verdict]:
    return {f"member {place}": verdict for place, verdict in enumerate(votes, 1)}


def judge_by_name(
    name: str | Path,
    options: Options | None = None,
    *,
    work: Path,
    device: str = "auto",
    report: Report = lambda _: None,
) -> Judge:
    """The judge ``name`` with its own settings.

    Args:
        name: one of ``JUDGES``, or the folder of a learned judge.
        options: settings by name.
        work: folder for what the judge keeps (raw replies).
        device: where the learned judge runs, also as a member of an ensemble; a GPU if there is one.
        report: is given a line now and then.

    Raises:
        UnknownNameError: neither a judge nor a folder has that name.
        ConfigError: unknown, missing or wrong settings.
        StoreError: weights or ratings are missing.
    """
    given, text = dict(options or {}), str(name)
    if text not in JUDGES and not Path(name).is_dir():
        raise UnknownNameError("judge", text, KNOWN)
    if text == "vlm":
        settings: VlmSettings = _settings(text, VlmSettings, given)
        return VlmJudge(settings, work / "replies", key=os.environ.get(KEY_VARIABLE, ""), report=report)
    if text == "landmarks":
        return LandmarksJudge(_settings(text, LandmarkSettings, given))
    if text == "human":
        from asap.workflows.evaluation.rate import HumanJudge, HumanSettings

        human: HumanSettings = _settings(text, HumanSettings, given)
        return HumanJudge(human)
    if text == "ensemble":
        if "members" not in given:
            raise ConfigError("the judge ensemble needs members; give them with --set members=learned+vlm")
        members = str(given.pop("members")).split("+")
        shared = [_belonging(member, given) for member in members]
        if unknown := set(given) - {key for part in shared for key in part}:
            raise ConfigError(f"no member of the ensemble knows the settings {', '.join(sorted(unknown))}")
        return EnsembleJudge(
            tuple(
                judge_by_name(member, part, work=work, device=device, report=report)
                for member, part in zip(members, shared, strict=True)
            )
        )
    if given:
        raise ConfigError(f"the learned judge has no settings, got {', '.join(sorted(given))}")
    return LearnedJudge(text, device)


def _belonging(member: str, given: Options) -> dict[str, Any]:
    """The settings that a member of an ensemble knows."""
    from asap.workflows.evaluation.rate import HumanSettings

    kind = {"vlm": VlmSettings, "human": HumanSettings, "landmarks": LandmarkSettings}.get(member)
    known = {item.name for item in fields(kind)} if kind else set()
    return {name: value for name, value in given.items() if name in known}


def _settings(name: str, kind: type[Any], given: Options) -> Any:  # noqa: ANN401  (an instance of ``kind``)
    """Settings of the judge ``name``; raises ``ConfigError`` for unknown, missing and wrong ones."""
    known = {item.name for item in fields(kind)}
    if unknown := sorted(set(given) - known):
        raise ConfigError(f"the judge {name} has no setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    needed = [item.name for item in fields(kind) if item.default is MISSING and item.default_factory is MISSING]
    if missing := [one for one in needed if one not in given]:
        how = " ".join(f"--set {one}=VALUE" for one in missing)
        raise ConfigError(f"the judge {name} needs {', '.join(missing)}; give {how}")
    return kind(**typed(given, kind))
