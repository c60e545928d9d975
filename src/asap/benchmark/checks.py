"""Checks of a suite: counts, visible parts, near-duplicates, and similarity to captions that models train on.

Nearness is the Jaccard index of sets of word trigrams, in [0, 1]: three words in a row that two texts share, over all
that either has.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asap.benchmark.suite import SuitePrompt
from asap.core.vocabulary import CATEGORIES, PARTS

__all__ = ["NEAR", "SuiteCheck", "check_suite", "grams", "nearness"]

NEAR: Final = 0.2
"""Nearness at and above which two texts count as near-duplicates."""
HIDERS: Final = {
    "hand": ("gloves", "mittens", "in his pockets", "in her pockets", "hands outside the frame"),
    "face": ("from behind", "back view", "without a face", "faceless"),
    "foot": ("waist-up", "cropped above the ankles", "half-length", "bust portrait"),
    "leg": ("waist-up", "half-length", "bust portrait", "head and shoulders"),
}
"""Words in a prompt that hide a part."""
MOST: Final = {"hand": 2, "arm": 2, "leg": 2, "foot": 2, "face": 1, "torso": 1, "neck": 1, "fingers": 10}
"""How many of each a person has."""
NEEDED: Final = {
    "semantic_gesture": {"hand"},
    "object_interaction": {"hand"},
    "full_body": {"arm", "hand", "leg", "foot", "torso"},
}
"""Parts without which a category asks for nothing."""


@dataclass(frozen=True, kw_only=True)
class SuiteCheck:
    """The result of the check; the suite may be used if ``faults`` is empty."""

    faults: tuple[str, ...]
    figures: Mapping[str, Any]


def grams(text: str) -> frozenset[tuple[str, ...]]:
    """Word trigrams of a text, in small letters."""
    words = re.findall(r"[a-z0-9']+", text.lower())
    return frozenset(tuple(words[start : start + 3]) for start in range(len(words) - 2))


def nearness(first: frozenset[tuple[str, ...]], second: frozenset[tuple[str, ...]]) -> float:
    """Jaccard index of two sets; 0 where both are empty."""
    return len(first & second) / len(first | second) if first or second else 0.0


def check_suite(prompts: Sequence[SuitePrompt], captions: Iterable[str], *, per_category: int) -> SuiteCheck:
    """Check a suite.

    Args:
        prompts: of the suite.
        captions: captions that models are trained with.
        per_category: how many prompts each category must have.
    """
    found = Counter(row.category for row in prompts)
    faults = [
        f"{name} has {found[name]} of {per_category} prompts" for name in CATEGORIES if found[name] != per_category
    ]
    faults += [fault for row in prompts for fault in part_faults(row)]
    pair, pair_near = _nearest_pair(prompts)
    if pair_near >= NEAR:
        faults.append(f"{pair[0]} and {pair[1]} are near-duplicates ({pair_near:.2f})")
    near, prompt, caption, count = _nearest_caption(prompts, captions)
    if near >= NEAR:
        faults.append(f"{prompt} is near the training caption {caption!r} ({near:.2f})")
    figures = {
        "prompts": len(prompts),
        "categories": {name: found[name] for name in CATEGORIES},
        "parts": _ordered(Counter(part for row in prompts for part in row.parts)),
        "difficulty": {str(level): n for level, n in sorted(Counter(row.difficulty for row in prompts).items())},
        "gestures": len({row.gesture for row in prompts if row.gesture}),
        "words": len({word for row in prompts for word in re.findall(r"[a-z']+", row.prompt.lower())}),
        "nearest_pair": {"nearness": round(pair_near, 4), "ids": list(pair)},
        "nearest_caption": {"nearness": round(near, 4), "id": prompt, "caption": caption, "captions": count},
    }
    return SuiteCheck(faults=tuple(faults), figures=figures)


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return {part: counts[part] for part in PARTS}


def part_faults(row: SuitePrompt) -> list[str]:
    """Contradictions in a prompt's visible parts."""
    if not row.counts:
        return [] if row.parts else [f"{row.id} asks for no part"]
    text, people = row.prompt.lower(), row.counts.get("people", 0)
    faults = [
        f"{row.id} hides the {part} it asks for" for part in row.parts if any(w in text for w in HIDERS.get(part, ()))
    ]
    if set(row.parts) != set(row.counts) & set(PARTS) or not row.parts:
        faults.append(f"{row.id} counts other parts than it asks for")
    if people < 1 or any(not 1 <= count <= MOST[name] * people for name, count in row.counts.items() if name in MOST):
        faults.append(f"{row.id} counts what {people} people cannot have")
    if missing := NEEDED.get(row.category, set()) - set(row.parts):
        faults.append(f"{row.id} does not ask for {', '.join(sorted(missing))}")
    if row.category == "semantic_gesture" and not row.gesture:
        faults.append(f"{row.id} names no gesture")
    if row.difficulty not in (1, 2, 3):
        faults.append(f"{row.id} has no difficulty from 1 to 3")
    return faults


def _nearest_pair(prompts: Sequence[SuitePrompt]) -> tuple[tuple[str, str], float]:
    """The two prompts nearest to one another."""
    sets, best, ids = [grams(row.prompt) for row in prompts], 0.0, ("", "")
    for later, ours in enumerate(sets):
        for earlier in range(later):
            near = nearness(ours, sets[earlier])
            if near > best:
                best, ids = near, (prompts[earlier].id, prompts[later].id)
    return ids, best


def _nearest_caption(prompts: Sequence[SuitePrompt], captions: Iterable[str]) -> tuple[float, str, str, int]:
    """Nearness, prompt id and caption of the nearest pair, and the number of different captions."""
    owners: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sets, best, seen = [grams(row.prompt) for row in prompts], (0.0, "", ""), set[str]()
    for place, ours in enumerate(sets):
        for gram in ours:
            owners[gram].append(place)
    for caption in captions:
        if caption in seen:
            continue
        seen.add(caption)
        theirs = grams(caption)
        for place in {place for gram in theirs for place in owners.get(gram, ())}:
            near = nearness(sets[place], theirs)
            if near > best[0]:
                best = (near, prompts[place].id, caption)
    return (*best, len(seen))
