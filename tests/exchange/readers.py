"""Little readers written to each tool's documented format, as independent of our code as can be."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Trained = tuple[Pixels, Pixels, str]
"""What a one-sided trainer learns from: image, mask, caption."""


def pixels(path: Path, mode: str = "RGB") -> Pixels:
    with Image.open(path) as image:
        return np.array(image.convert(mode))


def diffusion_dpo(row: dict[str, Any]) -> tuple[Pixels, Pixels, str]:
    """Winner, loser, caption, as ``preprocess_train`` of the diffusion-DPO scripts orders them."""
    sides = [np.array(Image.open(io.BytesIO(row[name])).convert("RGB")) for name in ("jpg_0", "jpg_1")]
    if row["label_0"] == 0:
        sides = sides[::-1]
    return sides[0], sides[1], row["caption"]


def onetrainer(concept: Path) -> dict[str, Trained]:
    """Every sample of one concept folder, not looking into subdirectories."""
    found = {}
    for path in sorted(path for path in concept.iterdir() if path.is_file()):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp") and not path.stem.endswith("-masklabel"):
            mask = path.with_name(f"{path.stem}-masklabel.png")
            lines = [line for line in path.with_suffix(".txt").read_text().splitlines() if line.strip()]
            assert len(lines) == 1, "each line would be a caption of its own"
            found[path.stem] = (pixels(path), pixels(mask, "L"), lines[0])
    return found


def kohya(config: Path) -> dict[str, Trained]:
    """Every sample of the data set; like sd-scripts it wants exactly one mask an image, of its size."""
    settings = tomllib.loads(config.read_text())
    found = {}
    for dataset in settings["datasets"]:
        assert len(dataset["resolution"]) == 2
        for subset in dataset["subsets"]:
            images = {path.stem: path for path in Path(subset["image_dir"]).glob("*.png")}
            masks = {path.stem: path for path in Path(subset["conditioning_data_dir"]).glob("*")}
            assert images.keys() == masks.keys()
            for name, path in images.items():
                caption = path.with_suffix(settings["general"]["caption_extension"]).read_text()
                mask = pixels(masks[name])[:, :, 0]
                assert mask.shape == pixels(path).shape[:2]
                found[name] = (pixels(path), mask, caption)
    return found


def simpletuner(config: Path) -> dict[str, tuple[Pixels, Pixels, Pixels, str]]:
    """Winner, loser, mask and caption of every sample, linked by the path below each data set's folder."""
    backends = {backend["id"]: backend for backend in json.loads(config.read_text())}
    assert sum(bool(backend.get("default")) for backend in backends.values()) == 1
    (primary,) = [backend for backend in backends.values() if backend["dataset_type"] == "image"]
    linked = {backends[name]["conditioning_type"]: backends[name] for name in primary["conditioning_data"]}
    assert set(linked) == {"reference_strict", "mask"}
    assert all(backend["source_dataset_id"] == primary["id"] for backend in linked.values())
    assert primary["caption_strategy"] == "textfile"
    top, found = Path(primary["instance_data_dir"]), {}
    for path in sorted(top.rglob("*.png")):
        other = {kind: Path(one["instance_data_dir"]) / path.relative_to(top) for kind, one in linked.items()}
        caption = path.with_suffix(".txt").read_text()
        found[path.stem] = (pixels(path), pixels(other["reference_strict"]), pixels(other["mask"])[:, :, 0], caption)
    return found
