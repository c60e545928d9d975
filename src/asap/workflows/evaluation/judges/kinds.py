"""What the registry holds of a judge, and how its settings are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asap.benchmark.verdict import Judge
from asap.core.settings import build

__all__ = ["JudgeContext", "JudgeKind", "Options", "read_settings"]

Options = Mapping[str, Any]
"""Settings by name, as ``--set NAME=VALUE`` gives them."""


@dataclass(frozen=True, kw_only=True)
class JudgeContext:
    """What the workflow offers to every judge."""

    work: Path
    """Folder for what a judge keeps, such as raw replies."""
    device: str = "auto"
    """Where networks run, as torch names it; ``auto`` is a GPU if there is one."""
    report: Callable[[str], None] = lambda _: None
    """Receives a line of progress now and then."""


@dataclass(frozen=True)
class JudgeKind:
    """A registered judge."""

    settings: type[Any] | None
    """A dataclass; its fields are the settings of ``--set``, and those without default are required. None: the judge
    reads its options itself."""
    build: Callable[[Any, JudgeContext], Judge]
    """(settings, context) -> judge; as a rule the class itself."""


def read_settings(name: str, kind: type[Any], given: Options) -> Any:  # noqa: ANN401  (an instance of ``kind``)
    """Settings of the judge ``name`` from ``given``; raises ``ConfigError`` for unknown, missing and wrong ones."""
    return build(kind, given, where=f"--set of the judge {name}: ")
