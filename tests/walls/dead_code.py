"""Find code that nothing in the program uses: ``python tests/walls/dead_code.py``, or ``make deadcode``.

Vulture does the search. Names in ``__all__`` count as used for vulture; here they do not, because an export that no
caller imports is dead as well. Use in a test does not count either: the tests are not scanned.
"""

import ast
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from vulture import Vulture
from vulture.core import Item

__all__ = ["ALLOWED", "dead_code", "main", "program", "stale"]

ROOT: Final = Path(__file__).parents[2]
SCANNED: Final = ("src", "benchmarks")
CONFIDENCE: Final = 60
"""Vulture's least confidence in percent; 60 is what it gives to functions, classes, methods and attributes."""

ALLOWED: Final = {
    "__class__": "set on FSDP's modules, read by Python",
    "higher_is_better": "each metric declares it beside its range and unit, for readers of the code",
    "log_with": "an attribute of accelerate's Accelerator",
    "preserve_order": "an option of Ray Data",
    "enable_progress_bars": "an option of Ray Data",
    "writeable": "a flag of numpy's arrays",
    "_optional": "a rule that tyro's registry calls",
    "_list": "a rule that tyro's registry calls",
    "accuracy": "a result of `asap train`, printed by name",
    "winner_rise": "a result of `asap train`, printed by name",
    "noticed_from": "a number of the audit, written to JSON by name",
    "observed": "a number of reviewers' agreement, printed by name",
    "hubs": "known models of a family, for readers of the code",
    "REASONS": "the closed list that tests hold every refusal of a photograph to",
    "ppi_mean": "the paper's estimator, by which tests check ours against ppi-python",
}
"""Names that look unused and are not, each with the reason. Reviewed by hand: add a line only for such a reason."""


def dead_code(files: Iterable[Path], allowed: Iterable[str] = ALLOWED) -> list[str]:
    """Every unused name as ``file:line: unused kind 'name'``.

    Args:
        files: Python files. All of them together are the program.
        allowed: Names to leave out.
    """
    names = set(allowed)
    return [item.get_report() for item in _unused(files) if item.name not in names]


def stale(files: Iterable[Path], allowed: Iterable[str] = ALLOWED) -> list[str]:
    """Names on the allow-list that are in use or gone."""
    return sorted(set(allowed) - {item.name for item in _unused(files)})


def _unused(files: Iterable[Path]) -> list[Item]:
    finder = Vulture()
    for path in files:
        finder.scan(_without_exports(path.read_text(encoding="utf-8")), filename=path)
    return list(finder.get_unused_code(min_confidence=CONFIDENCE))


def _without_exports(source: str) -> str:
    """``source`` with the lines of ``__all__`` blank, so that line numbers stay."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            lines[first:last] = [""] * (last - first)
    return "\n".join(lines)


def program() -> list[Path]:
    """The files that ``make deadcode`` looks at."""
    return sorted(path for folder in SCANNED for path in (ROOT / folder).rglob("*.py"))


def main() -> int:
    """Print what is dead and what is wrongly allowed; 1 if there is anything."""
    files = program()
    lines = dead_code(files)
    lines += [f"tests/walls/dead_code.py: '{name}' is allowed, but it is used or gone" for name in stale(files)]
    print("\n".join(lines) or f"no dead code in {len(files)} files")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
