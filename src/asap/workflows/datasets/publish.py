"""Write card, Croissant metadata and contact sheet of a pair store, and upload it to the Hugging Face Hub.

Two checks precede every upload: each source has a licence and a consent statement, and no image has metadata.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from asap.core.errors import AsapError, ConfigError, InputError
from asap.core.files import write_json, write_text
from asap.exchange.card import SHEET, card
from asap.exchange.croissant import croissant
from asap.exchange.facts import PAPER, CardFacts, GateMean, Shard
from asap.exchange.image_metadata import embedded_metadata
from asap.exchange.statements import Owner, Statement, Tally, parse_statements, tally
from asap.stores.pairs import PairStore
from asap.stores.pairs.schema import IMAGES, SCHEMA
from asap.workflows.datasets.contact_sheet import show_pairs
from asap.workflows.datasets.recipe import write_recipe

__all__ = ["CROISSANT", "push_pairs", "write_card"]

CROISSANT: Final = "croissant.json"
RECIPE: Final = "recipe.json"
README: Final = "README.md"
MANIFEST: Final = "manifest.json"
TOKENS: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
NAMED: Final = 5
Z95: Final = 1.959964
"""Quantile of the normal distribution for a 95 % interval."""


def write_card(folder: Path, out: Path, *, statements: Path | None = None) -> list[Path]:
    """Write the card ``out`` of the store at ``folder``, with croissant.json and the contact sheet beside it.

    Args:
        folder: the pair store.
        out: the card, a name ending in .md.
        statements: YAML or JSON of ``exchange.statements``; without it everything is "not stated".

    Returns:
        the written files.

    Raises:
        InputError: ``out`` does not end in .md, or cannot be written.
        ConfigError: the statements are invalid.
        StoreError: no usable store.
    """
    if out.suffix.lower() != ".md":
        raise InputError(f"a card is Markdown: expected a name ending in .md, got {out}")
    store = PairStore.open(folder)
    return _write_card(_facts(store, *_statements(statements)), folder, out)


def _write_card(facts: CardFacts, folder: Path, out: Path) -> list[Path]:
    sheet, described = out.with_name(SHEET), out.with_name(CROISSANT)
    write_text(out, card(facts))
    write_json(described, croissant(facts))
    show_pairs(folder, sheet)
    return [out, described, sheet]


def _statements(path: Path | None) -> tuple[Owner, tuple[Statement, ...]]:
    if path is None:
        return Owner(), ()
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is neither YAML nor JSON ({' '.join(str(error).split())})") from error
    return parse_statements(value)


def _facts(store: PairStore, owner: Owner, statements: Sequence[Statement]) -> CardFacts:
    stats, manifest = store.stats(), store.manifest
    columns = store.columns(
        "kind", "part", "operation", "width", "height", "person", "source", *(f"gate_{name}" for name in PAPER)
    )
    defect = [kind == "defect" for kind in columns["kind"]]
    cells = Counter(
        pair
        for pair, wrong in zip(zip(columns["part"], columns["operation"], strict=True), defect, strict=True)
        if wrong
    )
    sizes = Counter(f"{width}x{height}" for width, height in zip(columns["width"], columns["height"], strict=True))
    counted = ("kind", "split", "part", "operation", "severity", "category")
    return CardFacts(
        owner=owner,
        tallies=tuple(tally(columns["source"], statements)),
        pairs=len(store),
        people=len(set(columns["person"])),
        sizes=sizes,
        counts={name: stats[f"by_{name}"] for name in counted},
        cells=cells,
        gates={name: _gate_mean(columns[f"gate_{name}"], defect, columns["person"]) for name in PAPER},
        largest_difference=stats["max_abs_diff_outside"],
        refused=stats["by_reason"],
        config=manifest.config,
        parents=tuple((parent.kind, parent.content_hash) for parent in manifest.parents),
        instruments=tuple((one.role, one.name, one.fingerprint) for one in manifest.instruments),
        versions=manifest.versions,
        content_hash=store.content_hash,
        shards=tuple(Shard(name=name, size=size, sha256=sha) for name, size, sha in store.shards()),
        columns=dict(_columns()),
        date=datetime.now(timezone.utc).date().isoformat(),
        has_recipe=manifest.config.get("source") in ("bodies", "guided", "photographs"),
    )


def _columns() -> Iterator[tuple[str, str]]:
    """Name and kind of each column of a store."""
    kinds = {"string": "text", "int32": "integer", "int64": "integer", "double": "number"}
    for field in SCHEMA:
        yield field.name, "image" if field.name in IMAGES else kinds.get(str(field.type), "list")


def _gate_mean(values: Sequence[float | None], wanted: Sequence[bool], people: Sequence[str]) -> GateMean:
    """Mean of the measured values among ``wanted``, with a cluster-robust interval.

    The variance of a mean of clusters of unequal size follows by linearization (Cochran, Sampling Techniques, 3rd
    edition, section 11.7), with G / (G - 1) for G people; there is no interval for one person.
    """
    rows = [(v, p) for v, w, p in zip(values, wanted, people, strict=True) if w and v is not None]
    if not rows:
        return GateMean(value=None, ci=None, n=0)
    found = np.array([value for value, _ in rows])
    _, index = np.unique([person for _, person in rows], return_inverse=True)
    mean, clusters = float(found.mean()), int(index.max()) + 1
    if clusters < 2:
        return GateMean(value=mean, ci=None, n=len(found))
    residuals = np.bincount(index, weights=found - mean)
    half = Z95 * float(np.sqrt((residuals**2).sum() * clusters / (clusters - 1))) / len(found)
    return GateMean(value=mean, ci=(mean - half, mean + half), n=len(found))


def push_pairs(
    folder: Path,
    repo: str,
    *,
    statements: Path | None = None,
    private: bool = False,
    revision: str | None = None,
    allow_unstated: bool = False,
    dry_run: bool = False,
) -> dict[str, object]:
    """Upload the store at ``folder`` with card, metadata, contact sheet and recipe as the data set ``repo``.

    The token comes from the environment (``HF_TOKEN``), and the address from ``HF_ENDPOINT`` if it is set. The same
    call resumes an interrupted upload without sending complete files again. In the uploaded manifest, the paths of
    parents are reduced to their last name.

    Args:
        folder: the pair store.
        repo: OWNER/NAME.
        statements: as for ``write_card``.
        private: make the data set private; refused if it exists and is public.
        revision: branch, created if it does not exist; otherwise main.
        allow_unstated: upload although sources lack a licence or consent statement; the card lists them.
        dry_run: only check and list the files; needs no network.

    Returns:
        ``files`` by name with their bytes, and ``url`` of the upload.

    Raises:
        InputError: sources without statements, images with metadata, no token, or the Hub refuses.
        ConfigError: the statements are invalid.
        StoreError: no usable store.
    """
    store, said = PairStore.open(folder), _statements(statements)
    facts = _facts(store, *said)
    if not said[0].url:
        facts = replace(facts, owner=replace(said[0], url=f"https://huggingface.co/datasets/{repo}"))
    if not allow_unstated:
        _check_statements(facts.tallies)
    _check_images(store)
    with tempfile.TemporaryDirectory(prefix="asap-push-") as place:
        staged = Path(place)
        _stage(store, facts, staged)
        names = sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
        files = {name: (staged / name).stat().st_size for name in names}
        summary: dict[str, object] = {"repo": repo, "files": files, "bytes": sum(files.values())}
        return summary if dry_run else summary | {"url": _upload(staged, repo, private, revision)}


def _check_statements(tallies: Iterable[Tally]) -> None:
    unstated = [one for one in tallies if not one.statement.complete]
    if unstated:
        named = ", ".join(name for one in unstated for name in one.examples)
        raise InputError(
            f"licence or consent is not stated for {sum(one.sources for one in unstated)} sources, among them {named}; "
            "name them in --sources, or add --allow-unstated"
        )


def _check_images(store: PairStore) -> None:
    """Raise ``InputError`` if an image has metadata."""
    faults = []
    for row in store.stream():
        faults += [
            f"{row['uid']} {name} ({', '.join(found)})" for name in IMAGES if (found := embedded_metadata(row[name]))
        ]
        if len(faults) > NAMED:
            break
    if faults:
        named = "; ".join(faults[:NAMED]) + (" and more" if len(faults) > NAMED else "")
        raise InputError(f"images have metadata: {named}; build or import the pairs again, which keeps pixels only")


def _stage(store: PairStore, facts: CardFacts, staged: Path) -> None:
    """All uploaded files in one folder: links to files of the store, and new files."""
    listed = [name for name, _, _ in store.shards()]
    others = [*store.root.glob("parts/*.json"), *store.root.glob("*.jsonl"), store.root / "config.json"]
    for name in (*listed, *(path.relative_to(store.root).as_posix() for path in others if path.is_file())):
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        (staged / name).symlink_to((store.root / name).resolve())
    parents = tuple(replace(parent, path=Path(parent.path).name) for parent in store.manifest.parents)
    replace(store.manifest, parents=parents).write(staged / MANIFEST)
    if facts.has_recipe:
        write_recipe(store.root, staged / RECIPE)
    for path in _write_card(facts, store.root, staged / README):
        if path.suffix == ".png" and (found := embedded_metadata(path.read_bytes())):
            raise AsapError(f"the contact sheet has metadata: {', '.join(found)}")


def _upload(staged: Path, repo: str, private: bool, revision: str | None) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError, OfflineModeIsEnabled

    token = next((os.environ[name] for name in TOKENS if os.environ.get(name)), None)
    if token is None:
        raise InputError(f"an upload needs a token in {TOKENS[0]}; create one at huggingface.co/settings/tokens")
    api = HfApi(token=token)
    try:
        api.create_repo(repo, repo_type="dataset", private=private or None, exist_ok=True)
        if private and not api.repo_info(repo, repo_type="dataset").private:
            raise InputError(f"{repo} exists and is public; make it private on the Hub, or push without --private")
        if revision:
            api.create_branch(repo, repo_type="dataset", branch=revision, exist_ok=True)
        done: Any = api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=staged,
            revision=revision,
            commit_message="Upload of asap pairs push",
        )
    except (HTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise InputError(f"the Hub refused {repo}: {' '.join(str(error).split())[:300]}") from error
    return str(getattr(done, "commit_url", done))
