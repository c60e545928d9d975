"""Write a prompt suite from captions that are kept out of every training set."""

from pathlib import Path

from asap.benchmark.suite import SuitePrompt, write_suite
from asap.bodies import draw, load_rig
from asap.core.errors import InputError
from asap.core.vocabulary import CATEGORIES

_TRIES = 20
"""Pictures drawn for each prompt wanted, at most; captions that occur twice are left out."""


def make_suite(path: Path, *, per_category: int = 24, seed: int = 0) -> int:
    """Write ``per_category`` prompts of each category to ``path`` and return their number.

    Every combination of attributes is one that ``bodies.draw`` keeps from training pictures, pairs and judge alike.
    Raises ``InputError`` when the grammar has too few different captions left.
    """
    rig = load_rig()
    rows: list[SuitePrompt] = []
    for category in CATEGORIES:
        known: dict[str, SuitePrompt] = {}
        for index in range(per_category * _TRIES):
            if len(known) == per_category:
                break
            truth = draw(rig, seed, "suite", index, category=category, held_out=True).truth
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
