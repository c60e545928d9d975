"""Prompt suites: write one from captions that are kept out of every training set, and check one."""

from pathlib import Path
from typing import Any

from asap.benchmark.checks import SuiteCheck, check_suite
from asap.benchmark.suite import SuitePrompt, load_suite, write_suite
from asap.bodies import load_rig, sample_caption, sample_scene
from asap.core.errors import InputError
from asap.core.vocabulary import CATEGORIES

__all__ = ["check", "make_suite"]

PER_CATEGORY = {"haf": 100, "haf-lite": 10}
CAPTIONS = 5000
"""Captions drawn from the grammar to compare with; it has few phrases, so that many more change nothing."""
_TRIES = 20
"""Images drawn for each prompt wanted, at most; captions that occur twice are left out."""


def make_suite(path: Path, *, per_category: int = 24, seed: int = 0) -> int:
    """Write ``per_category`` prompts of each category to ``path`` and return their number.

    Every combination of attributes is one that ``bodies.sample_scene`` excludes from training images, pairs and the
    judge. The scene is the studio, which is what the embedded model has seen.
    Raises ``InputError`` when the grammar has too few different captions left.
    """
    rig = load_rig()
    rows: list[SuitePrompt] = []
    for category in CATEGORIES:
        known: dict[str, SuitePrompt] = {}
        for index in range(per_category * _TRIES):
            if len(known) == per_category:
                break
            truth = sample_scene(rig, seed, "suite", index, category=category, held_out=True, scene="studio").truth
            number = f"{category}-{len(known):03d}"
            known.setdefault(
                truth.caption,
                SuitePrompt(
                    id=number,
                    prompt=truth.caption,
                    category=category,
                    parts=truth.visible_parts,
                    attributes=truth.attributes,
                ),
            )
        if len(known) < per_category:
            raise InputError(f"only {len(known)} of {per_category} different prompts of {category}; ask for fewer")
        rows += known.values()
    write_suite(path, rows, least=min(per_category, 20))
    return len(rows)


def check(name: str, *, captions: int = CAPTIONS, seed: int = 0) -> dict[str, Any]:
    """Check HAF or its lite part: counts, parts, near-duplicates, nearness to training captions; returns figures.

    Args:
        name: ``haf`` or ``haf-lite``; ``haf-mini`` speaks the grammar on purpose and is checked by its attributes.
        captions: how many captions of the grammar to compare with.
        seed: of the captions.

    Raises:
        InputError: the suite is another one, or is not fit; every fault is named.
    """
    if name not in PER_CATEGORY:
        raise InputError(f"want one of {', '.join(PER_CATEGORY)} to check, got {name!r}")
    suite = load_suite(name)
    found: SuiteCheck = check_suite(
        suite.prompts,
        (sample_caption(seed, "check", index) for index in range(captions)),
        per_category=PER_CATEGORY[name],
    )
    if found.faults:
        raise InputError(f"the suite {name} cannot be used: " + "; ".join(found.faults))
    return {"suite": name, "version": suite.version, "digest": suite.digest, **found.figures}
