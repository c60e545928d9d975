"""The columns of a pair store, as Arrow types and as features of the ``datasets`` library."""

import json
from typing import Any, Final

import pyarrow as pa

__all__ = ["GATES", "IMAGES", "JSON_COLUMNS", "SCHEMA", "SPLITS"]

SPLITS: Final = ("train", "val", "test")
IMAGES: Final = ("chosen", "rejected", "mask", "regions")
JSON_COLUMNS: Final = ("attributes", "recipe", "detail")
GATES: Final = (
    "region_ssim",
    "background_ssim",
    "edge_ssim",
    "max_abs_diff_outside",
    "area_share",
    "contrast",
    "changed_share",
    "visible_share",
    "region_lpips",
    "background_lpips",
)
"""Gate values that are stored, each as the column ``gate_<name>``; null where a gate did not measure."""

TEXT: Final = ("prompt", "kind", "part", "side", "operation", "category", "person", "split", "source")
NUMBERS: Final = {"index": "int64", "severity": "int32", "width": "int32", "height": "int32", "seed": "int64"}
LISTS: Final = {"box": "int32", "visible_parts": "string", "parents": "string"}


def _value(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}


def _several(inner: dict[str, Any]) -> dict[str, Any]:
    return {"feature": inner, "_type": "Sequence"}


def _columns() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Arrow type and ``datasets`` feature of each column, in order."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns: dict[str, tuple[Any, dict[str, Any]]] = {"uid": (pa.string(), _value("string"))}
    columns |= {name: (image, {"_type": "Image"}) for name in IMAGES}
    columns |= {name: (pa.string(), _value("string")) for name in (*TEXT, *JSON_COLUMNS, "digest")}
    columns |= {name: (pa.type_for_alias(kind), _value(kind)) for name, kind in NUMBERS.items()}
    columns |= {name: (pa.list_(pa.type_for_alias(kind)), _several(_value(kind))) for name, kind in LISTS.items()}
    columns["keypoints"] = (pa.list_(pa.list_(pa.float32())), _several(_several(_value("float32"))))
    columns |= {f"gate_{name}": (pa.float64(), _value("float64")) for name in GATES}
    return columns


def _schema() -> Any:  # noqa: ANN401 - pyarrow ships no types
    columns = _columns()
    features = {name: feature for name, (_, feature) in columns.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([(name, kind) for name, (kind, _) in columns.items()], metadata=metadata)


SCHEMA: Final = _schema()
