"""[generations] -> numbered contact sheets -> votes -> [ratings]: blind rating by people who do not sit at the page.

The same prompts and seeds are drawn from every run, mixed with controls of known truth, shuffled and numbered. The key
says what is behind each number; raters must not see it. Votes go into the rating store that the page writes, too, so
that the judge ``human`` and all that reads ratings treats both alike.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from asap.benchmark.agreement import krippendorff_alpha
from asap.benchmark.intervals import Estimate, wilson
from asap.benchmark.rating.preference import preference
from asap.benchmark.rating.sheets import SheetItem, draw_sheets, read_vote
from asap.core.errors import InputError
from asap.core.files import make_folder, read_json, write_bytes, write_json
from asap.core.hashing import digest
from asap.core.records import ByteArray
from asap.core.seeds import generator
from asap.stores.generations import Generation, GenerationStore
from asap.stores.pairs import PairStore
from asap.stores.png import encode
from asap.stores.ratings import PreferenceJournal, RatingJournal, read_preferences, read_ratings

__all__ = ["CONTROL_SHARE", "Ballot", "read_votes", "summarize", "write_disputed", "write_sheets"]

CONTROL_SHARE: Final = 0.25
"""Share of all items that are controls."""
KIND: Final = "rating key"
LEAN: Final[Mapping[int | None, int]] = {0: -1, 1: 1, None: 0}
"""A stored preference as a vote for the second run."""
IMAGES: Final = "pictures"
"""Folder of the generations in a run of ``asap bench run``."""


@dataclass(frozen=True, kw_only=True)
class Ballot:
    """What a rating round asks."""

    count: int = 120
    """Prompt-and-seed places, the same of every run."""
    seed: int = 0
    compare: bool = False
    """Two runs side by side, and which is better, instead of single images."""
    side: int = 320
    """Pixels of an image on a sheet."""


@dataclass(frozen=True)
class _Entry:
    """One item before it has a number: plain facts for the key, and its images."""

    facts: dict[str, Any]
    images: tuple[ByteArray, ...]


def write_sheets(
    runs: Sequence[Path], sheets: Path, key: Path, *, ballot: Ballot = Ballot(), controls: Path | None = None
) -> int:
    """Write numbered sheets for raters and the key to them; returns the number of items.

    Args:
        runs: folders of ``asap generate`` or ``asap bench run``; what a sheet shows does not tell which is which.
        sheets: folder of the sheets, new or empty.
        key: JSON file, outside ``sheets``.
        ballot: how many places, and single images or two runs side by side.
        controls: a pair store whose images become controls: chosen ones are right, rejected ones wrong. They are a
            quarter of all items. Take one that no instrument was trained on.

    Raises:
        InputError: the key would lie among the sheets, ``sheets`` holds something, the runs share too few places, or
            two runs are wanted for ``compare``.
        StoreError: a run or the pair store is damaged.
    """
    _check_places(sheets, key)
    if not runs or (ballot.compare and len(runs) != 2):
        raise InputError(
            f"rating {'side by side takes two runs' if ballot.compare else 'takes a run'}, got {len(runs)}"
        )
    stores = [GenerationStore.open(run / IMAGES if (run / IMAGES).is_dir() else run) for run in runs]
    rows = [{row.key: row for row in store.rows} for store in stores]
    places = _places(rows, ballot)
    if ballot.compare:
        entries = [_pair_entry(place, rows, stores) for place in places]
    else:
        entries = [
            _Entry(_facts(row, run), (store.image(row),))
            for place in places
            for run, (store, found) in enumerate(zip(stores, rows, strict=True))
            for row in [found[place]]
        ]
    if controls is not None:
        entries += _controls(controls, round(len(entries) * CONTROL_SHARE / (1 - CONTROL_SHARE)), ballot)
    items = _numbered(entries, ballot)
    _write(sheets, [(item, entry.images) for item, entry in items], ballot.side)
    facts = [item for item, _ in items]
    names = [str(run) for run in runs]
    write_json(key, {"kind": KIND, "runs": names, "compare": ballot.compare, "seed": ballot.seed, "items": facts})
    return len(items)


def write_disputed(key: Path, ratings: Path, runs: Sequence[Path], sheets: Path, *, side: int = Ballot.side) -> int:
    """Sheets of those single images of ``key`` on which two raters differ, for a third one; returns how many.

    Their numbers are those of ``key``, so that the third rater's votes are read with the same key. Controls are left
    out: their truth is known.
    """
    _check_places(sheets, key)
    found = _read_key(key)
    if found["compare"]:
        raise InputError("disputes are settled on single images; rate them without --compare")
    said = list(read_ratings(ratings).values())
    stores = [GenerationStore.open(run / IMAGES if (run / IMAGES).is_dir() else run) for run in runs]
    rows = {row.digest: (store, row) for store in stores for row in store.rows}
    entries = []
    for item in found["items"]:
        answers = {row[item["digest"]]["answer"] for row in said if item["digest"] in row}
        if len(answers) > 1 and item["digest"] in rows:
            store, row = rows[item["digest"]]
            entries.append((item, (store.image(row),)))
    if entries:
        _write(sheets, entries, side)
    return len(entries)


def read_votes(key: Path, votes: Path, ratings: Path, *, rater: str) -> int:
    """Put the votes of one rater into the rating store; returns how many. All are checked before the first is written.

    Args:
        key: what ``write_sheets`` wrote.
        votes: one line of JSON per number, see ``benchmark.rating.sheets``.
        ratings: folder of all raters' journals.
        rater: whose votes these are.

    Raises:
        InputError: a line is no vote, a number occurs twice or is unknown; the error names the line.
        StoreError: the rater's journal is damaged or in use.
    """
    found = _read_key(key)
    items = {int(item["k"]): item for item in found["items"]}
    answers: list[dict[str, Any]] = []
    preferences: list[dict[str, Any]] = []
    seen = set[int]()
    for number, text in enumerate(_lines(votes), start=1):
        try:
            given = json.loads(text)
            place = given["k"]
            if place not in items or place in seen:
                raise ValueError(f"number {place} is {'voted on twice' if place in seen else 'not in the key'}")
            seen.add(place)
            vote = read_vote(given, pair=bool(found["compare"]))
            answers += _answers(items[place], vote)
            preferences += _preferences(items[place], vote)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{votes}:{number} is no vote: {error}") from error
    with RatingJournal(ratings, rater) as journal:
        for line in answers:
            journal.append(line)
    if preferences:
        with PreferenceJournal(ratings, rater) as journal:
            for line in preferences:
                journal.append(line)
    return len(seen)


def summarize(key: Path, ratings: Path) -> dict[str, Any]:
    """What the raters say: share wrong of each run, their errors on controls, their agreement, and their preference.

    Returns:
        ``runs`` (share wrong of each run by the majority, with n and interval), ``controls`` (of each rater: right and
        wrong answers on controls), ``alpha`` (Krippendorff, by prompt), and with two runs side by side ``preference``
        (win, tie and lose of the second run by the mean of raters, two-sided sign test).
    """
    found, said = _read_key(key), read_ratings(ratings)
    if not said:
        raise InputError(f"{ratings} holds no ratings; read votes into it first")
    singles = [one for item in found["items"] for one in _singles(item)]
    rated = [one for one in singles if not one.get("control")]
    answers = [[_answer(row.get(one["digest"])) for row in said.values()] for one in rated]
    summary: dict[str, Any] = {
        "runs": {run: _share(k, rated, answers).to_json() for k, run in enumerate(found["runs"])},
        "raters": sorted(said),
        "alpha": krippendorff_alpha(answers, generator(0, "raters"), [one["prompt_id"] for one in rated]).to_json(),
        "controls": {name: _control_counts(singles, row) for name, row in said.items()},
    }
    if found["compare"]:
        summary["preference"] = _preference(found["items"], read_preferences(ratings))
    return summary


def _check_places(sheets: Path, key: Path) -> None:
    if key.resolve().is_relative_to(sheets.resolve()):
        raise InputError(f"the key must lie where raters do not look, not in {sheets}; name a file elsewhere")
    if sheets.is_dir() and any(sheets.iterdir()):
        raise InputError(f"{sheets} holds files already; name a new folder for the sheets")


def _places(rows: Sequence[Mapping[tuple[str, int], Generation]], ballot: Ballot) -> list[tuple[str, int]]:
    """Places that every run has, prompts drawn at random, all seeds of a prompt before the next prompt."""
    common = sorted(set.intersection(*(set(found) for found in rows)))
    rng = generator(ballot.seed, "rating", "prompts")
    names = sorted({prompt for prompt, _ in common})
    order = {names[k]: rank for rank, k in enumerate(rng.permutation(len(names)))}
    chosen = sorted(common, key=lambda place: (order[place[0]], place[1]))[: ballot.count]
    if not chosen:
        raise InputError("the runs share no prompt and seed; generate the same suite with each")
    return chosen


def _facts(row: Generation, run: int) -> dict[str, Any]:
    names = ("prompt_id", "seed", "prompt", "category", "digest")
    return {**{name: getattr(row, name) for name in names}, "run": run}


def _pair_entry(
    place: tuple[str, int], rows: Sequence[Mapping[tuple[str, int], Generation]], stores: Sequence[GenerationStore]
) -> _Entry:
    both = [found[place] for found in rows]
    facts: dict[str, Any] = {"prompt": both[0].prompt, "prompt_id": both[0].prompt_id, "category": both[0].category}
    facts["sides"] = [_facts(row, run) for run, row in enumerate(both)]
    return _Entry(facts, tuple(store.image(row) for store, row in zip(stores, both, strict=True)))


def _controls(folder: Path, count: int, ballot: Ballot) -> list[_Entry]:
    """``count`` controls of a pair store, every second one wrong; side by side: the wrong beside the right image."""
    store = PairStore.open(folder)
    order = generator(ballot.seed, "rating", "controls").permutation(len(store))
    entries: list[_Entry] = []
    for position in order:
        if len(entries) == count:
            break
        row = store.rows([int(position)])[0]
        if row.kind != "defect":
            continue
        one = {
            side: {
                "control": name,
                "truth": name,
                "digest": _digest(getattr(row, side)),
                "prompt_id": row.uid,
                "severity": row.severity,
            }
            for side, name in (("chosen", "right"), ("rejected", "wrong"))
        }
        facts = {"prompt": row.prompt, "prompt_id": row.uid, "category": row.category}
        if ballot.compare:
            entries.append(_Entry({**facts, "sides": [one["rejected"], one["chosen"]]}, (row.rejected, row.chosen)))
        else:
            side = ("chosen", "rejected")[len(entries) % 2]
            entries.append(_Entry({**facts, **one[side]}, (getattr(row, side),)))
    if len(entries) < count:
        raise InputError(f"{folder} has {len(entries)} defects, {count} controls are wanted; name a larger pair store")
    return entries


def _digest(image: ByteArray) -> str:
    return digest(str(image.shape).encode() + np.ascontiguousarray(image).tobytes())


def _numbered(entries: Sequence[_Entry], ballot: Ballot) -> list[tuple[dict[str, Any], _Entry]]:
    """Shuffled and numbered; of two images the left one is drawn."""
    rng = generator(ballot.seed, "rating", "order")
    items = []
    for number, k in enumerate(rng.permutation(len(entries))):
        entry, facts = entries[k], {"k": number, **entries[k].facts}
        if "sides" in facts:
            left = int(rng.integers(2))
            facts |= {"left": left}
            entry = _Entry(facts, (entry.images[left], entry.images[1 - left]))
        items.append((facts, entry))
    return items


def _write(sheets: Path, items: Sequence[tuple[Mapping[str, Any], tuple[ByteArray, ...]]], side: int) -> None:
    make_folder(sheets)
    shown = [SheetItem(number=item["k"], prompt=item["prompt"], images=images) for item, images in items]
    for number, sheet in enumerate(draw_sheets(shown, side)):
        write_bytes(sheets / f"sheet-{number:03d}.png", encode(sheet))


def _read_key(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise InputError(f"{path} is no key of rating sheets; name the file that `asap bench rate --sheets` wrote")
    return cast("dict[str, Any]", found)


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _singles(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(item["sides"]) if "sides" in item else [dict(item)]


def _answers(item: Mapping[str, Any], vote: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A vote as lines of the rating journal, one per image."""
    shared = {"seconds": 0.0, "sheet": item["k"]}
    if "sides" not in item:
        return [{"digest": item["digest"], **vote, **shared}]
    order = [item["sides"][item["left"]], item["sides"][1 - item["left"]]]
    return [
        {"digest": one["digest"], "answer": vote[name], "parts": [], **shared}
        for name, one in zip(("left", "right"), order, strict=True)
    ]


def _preferences(item: Mapping[str, Any], vote: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "sides" not in item:
        return []
    better = {"left": item["left"], "right": 1 - item["left"]}.get(vote["better"])
    return [{"images": list(_both(item)), "better": better, "sheet": item["k"]}]


def _both(item: Mapping[str, Any]) -> tuple[str, str]:
    first, second = item["sides"]
    return first["digest"], second["digest"]


def _answer(row: Mapping[str, Any] | None) -> str | None:
    return None if row is None or row["answer"] == "cannot_tell" else str(row["answer"])


def _share(run: int, rated: Sequence[Mapping[str, Any]], answers: Sequence[Sequence[str | None]]) -> Estimate:
    """Share of the images of ``run`` that more raters call wrong than right; halves are left out."""
    counts = [Counter(row) for one, row in zip(rated, answers, strict=True) if one["run"] == run]
    decided = [count["wrong"] > count["right"] for count in counts if count["wrong"] != count["right"]]
    return wilson(sum(decided), len(decided))


def _control_counts(singles: Sequence[Mapping[str, Any]], said: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of one rater: how many right images are called wrong, and how many wrong ones right."""
    shown = [(one["truth"], _answer(said.get(one["digest"]))) for one in singles if one.get("control")]
    return {
        truth: {"n": sum(known == truth and answer is not None for known, answer in shown)}
        | {"called_wrong": sum(known == truth and answer == "wrong" for known, answer in shown)}
        for truth in ("right", "wrong")
    }


def _preference(
    items: Sequence[Mapping[str, Any]], said: Mapping[str, Mapping[tuple[str, str], int | None]]
) -> dict[str, Any]:
    """How raters prefer the second run to the first; controls apart."""
    groups: dict[bool, list[tuple[dict[str, int], str]]] = {True: [], False: []}
    for item in items:
        votes = {name: LEAN[rows[_both(item)]] for name, rows in said.items() if _both(item) in rows}
        groups["control" in item["sides"][0]].append((votes, str(item["prompt_id"])))
    shown, controls = (
        preference([v for v, _ in found], [p for _, p in found]) for found in (groups[False], groups[True])
    )
    return {**shown, "controls": {name: controls[name] for name in ("win", "tie", "lose")}}
