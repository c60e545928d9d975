"""Pick-a-Pic v2: the table that the training scripts of Diffusion-DPO read.

Columns: ``dataset_info`` of yuvalkirstain/pickapic_v2 on the Hugging Face Hub. Readers: ``train.py`` of
SalesforceAIResearch/DiffusionDPO and ``examples/research_projects/diffusion_dpo/train_diffusion_dpo.py`` of
huggingface/diffusers. Both decode the bytes of ``jpg_0`` and ``jpg_1`` with Pillow, whatever their format, and swap the
two if ``label_0`` is 0. The images stay PNG, because JPEG would change pixels outside the mask. ``mask``, ``regions``
and ``asap`` are additional columns that those readers ignore.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa

from asap.core.seeds import derive
from asap.exchange.pair import Format, Refused, SharedPair, no_closing_note
from asap.exchange.tables import FACTS, facts_text, parquet_bytes, parse_pair

__all__ = ["PICKAPIC", "SCHEMA"]

BYTES: Final = ("jpg_0", "jpg_1", "mask", "regions")
SCHEMA: Final = pa.schema(
    [
        ("are_different", pa.bool_()),
        ("best_image_uid", pa.string()),
        ("caption", pa.string()),
        ("created_at", pa.timestamp("ns")),
        ("has_label", pa.bool_()),
        ("image_0_uid", pa.string()),
        ("image_0_url", pa.string()),
        ("image_1_uid", pa.string()),
        ("image_1_url", pa.string()),
        ("jpg_0", pa.binary()),
        ("jpg_1", pa.binary()),
        ("label_0", pa.float64()),
        ("label_1", pa.float64()),
        ("model_0", pa.string()),
        ("model_1", pa.string()),
        ("ranking_id", pa.int64()),
        ("user_id", pa.int64()),
        ("num_example_per_prompt", pa.int64()),
        ("mask", pa.binary()),
        ("regions", pa.binary()),
        (FACTS, pa.string()),
    ]
)


def _shard(split: str, number: int, pairs: Sequence[SharedPair]) -> Iterator[tuple[str, bytes]]:
    yield f"data/{split}-{number:05d}.parquet", parquet_bytes([_row(pair) for pair in pairs], SCHEMA, BYTES)


def _row(pair: SharedPair) -> dict[str, object]:
    """One row. The order of the sides is derived from the key, so that a reader cannot learn it."""
    first = derive(0, "pickapic", pair.key) % 2
    sides = [(pair.chosen, f"{pair.key}-chosen", 1.0), (pair.rejected, f"{pair.key}-rejected", 0.0)]
    row: dict[str, object] = {
        "are_different": pair.chosen != pair.rejected,
        "best_image_uid": sides[0][1],
        "caption": pair.prompt,
        "created_at": None,
        "has_label": True,
        "ranking_id": pair.facts.get("index"),
        "user_id": 0,
        "num_example_per_prompt": 1,
        "mask": pair.mask,
        "regions": pair.regions,
        FACTS: facts_text(pair),
    }
    for place, (image, uid, label) in enumerate(sides[::-1] if first else sides):
        row |= {f"jpg_{place}": image, f"image_{place}_uid": uid, f"label_{place}": label}
        row |= {f"image_{place}_url": "", f"model_{place}": ""}
    return row


def _parse(row: Mapping[str, object]) -> SharedPair | Refused:
    labels = row.get("label_0"), row.get("label_1")
    if row.get("has_label") is False:
        return Refused("no_label")
    if labels == (0.5, 0.5):
        return Refused("label_tie")
    if labels not in ((1, 0), (0, 1)):
        return Refused("bad_label", f"wanted 1 and 0 or 0 and 1, got {labels[0]} and {labels[1]}")
    won = 0 if labels[0] == 1 else 1
    return parse_pair(
        chosen=row.get(f"jpg_{won}"),
        rejected=row.get(f"jpg_{1 - won}"),
        prompt=row.get("caption"),
        mask=row.get("mask"),
        regions=row.get("regions"),
        facts=row.get(FACTS),
    )


PICKAPIC: Final = Format(
    name="pickapic",
    container="parquet",
    shard=_shard,
    closing=no_closing_note,
    columns=("caption", "has_label", "label_0", "label_1", *BYTES, FACTS),
    parse=_parse,
)
