"""Is the audit at chance on clean pairs, and does it notice planted leaks? Print one JSON line.

    python benchmarks/pairs/audit.py --out runs/audit -- rendered --count 1200 --size 128 --seed 11 --null-share 0

builds pairs of people or of photographs with the arguments behind ``--`` into OUT/clean (a finished store is taken as
it is), makes three copies of it whose rejected sides carry a trace, and runs ``asap pairs audit`` on all four:

- ``row``: the top row of pixels is one grey level brighter;
- ``jpeg``: the whole side went through a JPEG of quality 90;
- ``vae``: the whole side went through the autoencoder of ``--model``.

Ends with 1 unless the clean store is clean, with 0.5 in every interval, and every copy is a leak.
"""

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from asap.backbones import load
from asap.core.hashing import digest
from asap.core.manifest import Manifest
from asap.core.records import ByteArray
from asap.gates.leaks import outside_difference
from asap.stores import png
from asap.stores.pairs import EncodedChunk, EncodedRow, PairStore, PairWriter
from asap.tensors import to_bytes, to_signed
from asap.workflows.datasets.audit import audit_pairs

Change = Callable[[ByteArray], ByteArray]


def main() -> None:
    """Build, plant, audit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the audit")
    parser.add_argument("--model", default="mini", help="whose autoencoder")
    parser.add_argument("build", nargs="*", help="arguments of `asap pairs build` but --out")
    arguments = parser.parse_args()
    clean = arguments.out / "clean"
    if not (clean / "manifest.json").exists():
        command = [sys.executable, "-m", "asap.cli", "pairs", "build", *arguments.build, "--out", str(clean)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    plants: dict[str, Change] = {"row": brighter_row, "jpeg": through_jpeg, "vae": through_autoencoder(arguments.model)}
    found = {"clean": summary(clean, arguments.seed)}
    for name, change in plants.items():
        plant(clean, arguments.out / name, name, change)
        found[name] = summary(arguments.out / name, arguments.seed)
    views = found["clean"]["views"].values()
    sound = found["clean"]["verdict"] == "clean" and all(view["ci"][0] <= 0.5 <= view["ci"][1] for view in views)
    caught = all(found[name]["verdict"] == "leak" for name in plants)
    print(json.dumps({**found, "sound": sound, "caught": caught}))
    sys.exit(not (sound and caught))


def summary(folder: Path, seed: int) -> dict[str, Any]:
    """What the audit says, without the names of features."""
    begun = time.monotonic()
    found = audit_pairs(folder, seed=seed)
    kept = ("auroc", "ci", "differ", "noticed_from", "verdict")
    views = {
        name: {key: round_all(view[key]) for key in kept} for name, view in found["views"].items() if view["differ"]
    }
    head = {"pairs": found["n"], "people": found["people"], "verdict": found["verdict"]}
    return {**head, "views": views, "seconds": round(time.monotonic() - begun, 1)}


def round_all(value: Any) -> Any:  # noqa: ANN401  (numbers, lists of them and words)
    """The value with three decimals."""
    if isinstance(value, list):
        return [round_all(one) for one in value]
    return round(value, 3) if isinstance(value, float) else value


def plant(clean: Path, out: Path, name: str, change: Change) -> None:
    """Copy the store at ``clean`` with every rejected side changed; a finished copy stays."""
    if (out / "manifest.json").exists():
        return
    store = PairStore.open(clean)
    config = {"planted": name, "pairs": store.content_hash}
    with PairWriter(out, config, store.chunk) as writer:
        done = writer.done_chunks()
        for chunk, rows in groupby(store.encoded(), key=lambda row: row.index // store.chunk):
            if chunk not in done:
                writer.write_chunk(chunk, EncodedChunk(tuple(changed(row, name, change) for row in rows)), {}, 0.0)
        writer.finish(Manifest(kind="pairs", config=config))


def changed(row: EncodedRow, name: str, change: Change) -> EncodedRow:
    """The row with another rejected side, and what is said of it."""
    columns: dict[str, Any] = row.columns
    chosen, rejected, mask = (png.decode(columns[one]["bytes"]) for one in ("chosen", "rejected", "mask"))
    other = change(rejected)
    code = digest(f"{row.digest} {name}".encode())
    new = {
        "rejected": {"bytes": png.encode(other), "path": None},
        "gate_max_abs_diff_outside": float(outside_difference(chosen, other, mask)),
        "digest": code,
    }
    return replace(row, digest=code, columns={**columns, **new})


def brighter_row(image: ByteArray) -> ByteArray:
    """The top row one grey level brighter, as far as that goes."""
    out = image.copy()
    out[0] = np.where(out[0] < 255, out[0] + 1, 255)
    return out


def through_jpeg(image: ByteArray) -> ByteArray:
    """The image after a JPEG of quality 90."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=90)
    return np.asarray(Image.open(buffer))


def through_autoencoder(model: str) -> Change:
    """The image as the model's autoencoder gives it back, in tiles of the size that the model has."""
    backbone = load(model)
    side = backbone.resolution

    @torch.no_grad()
    def change(image: ByteArray) -> ByteArray:
        height, width = image.shape[:2]
        whole = np.pad(image, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge")
        rows, columns = whole.shape[0] // side, whole.shape[1] // side
        tiles = whole.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
        pixels = to_bytes(backbone.decode(backbone.encode(to_signed(tiles)))).reshape(rows, columns, side, side, 3)
        return np.asarray(pixels.swapaxes(1, 2).reshape(whole.shape)[:height, :width])

    return change


if __name__ == "__main__":
    main()
