"""The judge ``ensemble``: several judges on one image."""

from collections.abc import Mapping

import numpy as np

from asap.benchmark.verdict import Verdict

__all__ = ["vote_of"]


def vote_of(verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict of more than half of the members that scored an image; ``verdicts`` are by name of the member.

    A tie is no verdict. An image that no member could score is an error where a member failed on it.
    """
    rows = list(verdicts.values())
    scored = {name: verdict for name, verdict in verdicts.items() if verdict.fails is not None}
    failing = [name for name, verdict in scored.items() if verdict.fails]
    even = 2 * len(failing) == len(scored)
    fails = None if even else 2 * len(failing) > len(scored)
    reason = "; ".join(f"{name}: {verdicts[name].reason}".removesuffix(": ") for name in failing)
    if fails is None:
        reason = "the members disagree: " + reason if scored else "; ".join(row.reason for row in rows if row.reason)
    names = sorted({part for row in rows for part in row.parts})
    return Verdict(
        fails=fails,
        probability=len(failing) / len(scored) if scored else None,
        parts={part: _mean([row.parts[part] for row in rows if part in row.parts]) for part in names},
        not_visible=tuple(p for p in rows[0].not_visible if sum(p in row.not_visible for row in rows) * 2 > len(rows)),
        attributes=next((row.attributes for row in rows if row.attributes), {}),
        reason=reason,
        error=fails is None and not scored and any(row.error for row in rows),
        person=next((row.person for row in rows if row.person is not None), None),
        details={"members": {name: verdict.fails for name, verdict in verdicts.items()}},
    )


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in ("visible", "wrong")}
