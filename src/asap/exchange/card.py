"""The card of a data set: a header for the Hugging Face Hub and text for people.

Header: datasetcard.md of huggingface/hub-docs. All text is generated from ``CardFacts``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import yaml

from asap.core.hashing import canonical_json
from asap.exchange.facts import PAPER, CardFacts, GateMean
from asap.exchange.licences import hub_licence
from asap.exchange.statements import NOT_STATED, Tally

__all__ = ["SHEET", "card"]

SHEET: Final = "pairs.png"
"""Name of the contact sheet beside the card."""
SPLITS: Final = {"train": "train", "val": "validation", "test": "test"}
LIMITS: Final = (1_000, 10_000, 100_000, 1_000_000)
SHORT: Final = {1_000: "1K", 10_000: "10K", 100_000: "100K", 1_000_000: "1M"}
COUNTED: Final = ("split", "kind", "part", "severity", "category")
MADE: Final = {
    "bodies": (
        "Both sides are renderings of one 3D body; on the rejected side one body part was edited on the mesh. Outside "
        "the mask the two are bit-identical."
    ),
    "guided": (
        "A diffusion model generated both sides from the same noise and maps of one 3D body; on the rejected side, "
        "one part of the mesh was edited. Outside the mask the two are bit-identical."
    ),
    "photographs": "The chosen side is a photograph; on the rejected side one body part was edited inside the mask.",
    "import": "The pairs come from files of another tool; facts that they lack are called unknown here.",
    "review": "People accepted these pairs out of a larger set.",
}
CAVEATS: Final = {
    "bodies": (
        "Rendered people are not photographs: skin, hair, clothes and light are simple.",
        "The errors follow our table of operations, not the errors of any particular generator.",
    ),
    "guided": (
        "It was not measured how well the model follows the maps, unless a screen is among the instruments below.",
        "The errors follow our table of operations, not the errors of any particular generator.",
    ),
    "photographs": (
        "The landmarkers below found the parts; parts that they miss are never edited.",
        "The errors follow our table of operations, not the errors of any particular generator.",
    ),
    "import": ("Nothing was measured on pairs whose gates are absent; a mask may cover the whole image.",),
}


def card(facts: CardFacts) -> str:
    """README.md of the set, with its header."""
    parts = [
        f"---\n{yaml.safe_dump(_header(facts), sort_keys=False, allow_unicode=True)}---",
        f"# {facts.name}",
        *_opening(facts),
        "## What is in it",
        *_contents(facts),
        "## Gates",
        *_gates(facts),
        "## Sources, licences and consent",
        *_sources(facts),
        "## How it was made",
        *_making(facts),
        "## Limits",
        _bullets(_limits(facts)),
    ]
    if facts.owner.citation:
        parts += ["## Citation", f"```\n{facts.owner.citation.strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _header(facts: CardFacts) -> dict[str, Any]:
    splits = [split for split in SPLITS if facts.counts["split"].get(split)]
    files = [{"split": SPLITS[split], "path": f"data/{split}-*.parquet"} for split in splits]
    return {
        **hub_licence(facts.owner.licence),
        "pretty_name": facts.name,
        "task_categories": ["text-to-image"],
        "tags": ["preference", "dpo", "human-anatomy", "masks", "synthetic"],
        "size_categories": [_size(facts.pairs)],
        "configs": [{"config_name": "default", "data_files": files}],
    }


def _size(pairs: int) -> str:
    """The size category of the Hub for a number of rows."""
    if pairs < LIMITS[0]:
        return "n<1K"
    for low, high in pairwise(LIMITS):
        if pairs < high:
            return f"{SHORT[low]}<n<{SHORT[high]}"
    return "n>1M"


def _opening(facts: CardFacts) -> Iterator[str]:
    if facts.owner.description:
        yield facts.owner.description
    yield (
        f"{facts.pairs} preference pairs on human anatomy for text-to-image models: a caption, a chosen image, a "
        f"rejected one, and the mask of the region in which they differ. {MADE.get(facts.made_of, '')}".strip()
    )
    yield f"![chosen, rejected and mask]({SHEET})"
    yield (
        '```python\nimport datasets\n\npairs = datasets.load_dataset("parquet", data_dir="FOLDER")\nrow = '
        'pairs["train"][0]\nrow["chosen"], row["rejected"], row["mask"], row["prompt"]\n```'
    )


def _contents(facts: CardFacts) -> Iterator[str]:
    sizes = ", ".join(f"{size} ({count})" for size, count in _most(facts.sizes, 5))
    yield _bullets(
        (
            f"{facts.pairs} pairs of {facts.people} people; no person is in two splits",
            f"Sizes in pixels: {sizes}",
            f"Content hash: `{facts.content_hash}`",
        )
    )
    rows = [(name, value, count) for name in COUNTED for value, count in _most(facts.counts[name])]
    yield _table(("", "", "pairs"), rows)
    yield "Defects by part and operation:"
    operations = [name for name, _ in _most(_summed(facts.cells, 1))]
    parts = [name for name, _ in _most(_summed(facts.cells, 0))]
    cells = [(part, *(facts.cells.get((part, name), "") for name in operations)) for part in parts]
    yield _table(("", *operations), cells)


def _gates(facts: CardFacts) -> Iterator[str]:
    yield (
        "Means over pairs with a defect; intervals at 95 %, clustered by person. The second line is the paper's set "
        "(HAP, arXiv:2605.25759). SSIM inside the mask should be low, outside high; LPIPS the other way round."
    )
    names = {"region_ssim": "SSIM inside", "background_ssim": "SSIM outside"}
    names |= {"region_lpips": "LPIPS inside", "background_lpips": "LPIPS outside"}
    yield _table(
        ("", *names.values()),
        [
            ("this set", *(_mean(facts.gates[name]) for name in names)),
            ("the paper's", *(PAPER[name] for name in names)),
        ],
    )
    yield f"Largest difference outside a mask: {facts.largest_difference:g} of 255 grey levels, over all pairs."


def _mean(gate: GateMean) -> str:
    if gate.value is None:
        return "not measured"
    interval = f" [{gate.ci[0]:.4f}, {gate.ci[1]:.4f}]" if gate.ci else ""
    return f"{gate.value:.4f}{interval}, n = {gate.n}"


def _sources(facts: CardFacts) -> Iterator[str]:
    owner = facts.owner
    yield _bullets((f"Licence of the set: {owner.licence or NOT_STATED}", f"Creator: {owner.creator or NOT_STATED}"))
    rows = [
        (
            _pattern(one),
            one.sources if one.statement.files else "",
            one.pairs,
            one.statement.licence or NOT_STATED,
            one.statement.consent or NOT_STATED,
            one.statement.attribution or NOT_STATED,
            one.statement.url,
        )
        for one in facts.tallies
    ]
    yield _table(("sources", "files", "pairs", "licence", "consent", "attribution", "where"), rows)
    open_ones = [one for one in facts.tallies if not one.statement.complete]
    if open_ones:
        named = ", ".join(f"`{name}`" for one in open_ones for name in one.examples)
        count = sum(one.sources for one in open_ones)
        yield f"Licence or consent is not stated for {count} files, among them {named}."


def _pattern(one: Tally) -> str:
    return f"`{one.statement.files}`" if one.statement.files else "rendered people"


def _making(facts: CardFacts) -> Iterator[str]:
    if facts.parents:
        yield "Made from: " + ", ".join(f"{kind} `{content}`" for kind, content in facts.parents)
    settings = [(name, f"`{canonical_json(value)}`") for name, value in facts.config.items() if name != "instruments"]
    yield _table(("setting", "value"), settings)
    yield "Instruments that selected the pairs; none of them may judge a model trained on this set:"
    yield _table(("role", "name", "fingerprint"), [(r, n, f"`{f[:16]}`") for r, n, f in facts.instruments])
    yield _table(("package", "version"), sorted(facts.versions.items()))
    if facts.refused:
        yield "Rejected candidates by first reason:"
        yield _table(("reason", "tries"), _most(facts.refused))
    if facts.has_recipe:
        yield "`asap pairs rebuild recipe.json` builds the same set again, with the content hash above."


def _limits(facts: CardFacts) -> Iterator[str]:
    yield from CAVEATS.get(facts.made_of, ())
    unmeasured = [name for name in PAPER if facts.gates[name].value is None]
    if unmeasured:
        yield f"Not measured: {', '.join(unmeasured)}."
    nulls = sum(count for kind, count in facts.counts["kind"].items() if kind != "defect")
    if nulls:
        yield (
            f"In {nulls} pairs the rejected side is correct too (`kind` is not `defect`); exclude them from training. "
            "They serve to measure false alarms."
        )
    yield "A judge of anatomy that helped to select the pairs must not judge a model trained on them."


def _summed(cells: Mapping[tuple[str, str], int], axis: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for key, count in cells.items():
        found[key[axis]] = found.get(key[axis], 0) + count
    return found


def _most(counts: Mapping[str, int], limit: int | None = None) -> list[tuple[str, int]]:
    """Largest first, ties by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, or ``None.`` without rows."""
    lines = [" | ".join(map(_cell, row)) for row in rows]
    if not lines:
        return "None."
    return "\n".join(f"| {line} |" for line in (" | ".join(head), " | ".join("---" for _ in head), *lines))


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
