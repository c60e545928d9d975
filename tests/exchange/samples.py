"""A small store of made-up pairs, and ways to compare."""

from dataclasses import replace
from pathlib import Path

from asap.core.manifest import Instrument, Manifest
from asap.core.records import PairRecord
from asap.stores.pairs import PairStore, PairWriter
from tests.stores.samples import pair

COUNT, CHUNK = 24, 8
GATE = Instrument("pair_gate", "ssim gates", "f" * 64)


def records() -> list[PairRecord]:
    """24 pairs, every fifth a null edit, in three splits; captions with a line break, quotes and other scripts."""
    captions = ["two\nlines", 'a "quoted" hand', "eine Hand, fünf Finger", "手", "plain, with a comma"]
    return [replace(pair(index), prompt=f"{captions[index % 5]} {index}") for index in range(COUNT)]


def build(root: Path) -> PairStore:
    with PairWriter(root, {"seed": 5}, CHUNK) as writer:
        for number in range(COUNT // CHUNK):
            writer.write_chunk(number, records()[number * CHUNK : (number + 1) * CHUNK], {}, 0.1)
        writer.finish(Manifest(kind="pairs", config={"seed": 5}, instruments=(GATE,)))
    return PairStore.open(root)
