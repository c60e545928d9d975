"""All judges by name. To add one, write a class with a settings dataclass in this folder and register both here."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from asap.benchmark.verdict import Judge
from asap.core.errors import ConfigError, UnknownNameError
from asap.core.registry import Registry
from asap.workflows.evaluation.judges.ensemble import EnsembleJudge
from asap.workflows.evaluation.judges.human import HumanJudge, HumanSettings
from asap.workflows.evaluation.judges.kinds import JudgeContext, JudgeKind, Options, read_settings
from asap.workflows.evaluation.judges.landmarks import LandmarkSettings, LandmarksJudge
from asap.workflows.evaluation.judges.learned import LearnedJudge, LearnedSettings
from asap.workflows.evaluation.judges.vlm import VlmJudge, VlmSettings

__all__ = ["JUDGES", "judge_by_name"]

JUDGES: Registry[JudgeKind] = Registry("judge")
"""There is no default judge."""


def judge_by_name(
    name: str | Path,
    options: Options | None = None,
    *,
    work: Path,
    device: str = "auto",
    report: Callable[[str], None] = lambda _: None,
) -> Judge:
    """The judge ``name`` with its own settings.

    Args:
        name: one of ``JUDGES``, or the folder of a learned judge.
        options: settings by name.
        work: folder for what the judge keeps, such as raw replies.
        device: where the learned judge runs, also as a member of an ensemble; ``auto`` is a GPU if there is one.
        report: receives a line of progress now and then.

    Raises:
        UnknownNameError: neither a judge nor a folder has that name.
        ConfigError: unknown, missing or wrong settings.
        StoreError: weights or ratings are missing.
    """
    return _build(str(name), options or {}, JudgeContext(work=work, device=device, report=report))


def _build(name: str, options: Options, context: JudgeContext) -> Judge:
    if name not in JUDGES:
        if not Path(name).is_dir():
            raise UnknownNameError("judge", name, [*JUDGES.names(), "a folder of a learned judge"])
        name, options = "learned", {**options, "folder": name}
    kind = JUDGES.get(name)
    return kind.build(options if kind.settings is None else read_settings(name, kind.settings, options), context)


def _ensemble(options: Options, context: JudgeContext) -> Judge:
    """``members`` are names of judges or folders of learned ones, joined by ``+``; each takes the other options it has.

    Raises:
        ConfigError: no members, or an option that no member has.
    """
    if "members" not in options:
        raise ConfigError("the judge ensemble needs members; give them with --set members=learned+vlm")
    members = str(options["members"]).split("+")
    shared = [{key: value for key, value in options.items() if key in _settings_of(member)} for member in members]
    if unknown := set(options) - {"members"} - {key for part in shared for key in part}:
        raise ConfigError(f"no member of the ensemble knows the settings {', '.join(sorted(unknown))}")
    return EnsembleJudge([_build(member, part, context) for member, part in zip(members, shared, strict=True)])


def _settings_of(name: str) -> set[str]:
    """Names of a judge's settings."""
    settings = JUDGES.get(name).settings if name in JUDGES else None
    return {item.name for item in fields(settings)} if settings else set()


JUDGES.register("learned", JudgeKind(LearnedSettings, LearnedJudge))
JUDGES.register("landmarks", JudgeKind(LandmarkSettings, LandmarksJudge))
JUDGES.register("vlm", JudgeKind(VlmSettings, VlmJudge))
JUDGES.register("human", JudgeKind(HumanSettings, HumanJudge))
JUDGES.register("ensemble", JudgeKind(None, _ensemble))
