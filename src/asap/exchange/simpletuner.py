"""SimpleTuner, for Masked Flow-DPO: chosen images, rejected images and masks as three datasets, matched by file name.

Source: documentation/experimental/FLOW_DPO.md, documentation/DATALOADER.md and ``get_conditioning_sample`` in
simpletuner/helpers/multiaspect/sampler.py of bghira/SimpleTuner. The rejected images are a ``conditioning`` dataset of
type ``reference_strict``, the masks one of type ``mask``. Both are needed at once, so train with
``--data_backend_config OUT/multidatabackend.json --distillation_method=flow_dpo
--conditioning_multidataset_sampling=combined``: the default of the last option samples one of the two.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Final

from asap.exchange.folders import folder_shard
from asap.exchange.pair import Format, Summary

__all__ = ["SIMPLETUNER"]

LAYOUT: Final = {"chosen": "chosen/{}", "rejected": "rejected/{}", "mask": "mask/{}", "text": "chosen/{}"}


def _closing(summary: Summary) -> Iterator[tuple[str, bytes]]:
    """The configuration of the data loader, for the training split if there is one."""
    split = "train" if "train" in summary.splits else summary.splits[0]
    side = min(min(size) for size in summary.sizes)
    shared = {"type": "local", "resolution": side, "resolution_type": "pixel", "crop": False}
    linked = {"dataset_type": "conditioning", "source_dataset_id": "chosen"}
    datasets = [
        {
            "id": "chosen",
            "dataset_type": "image",
            "conditioning_data": ["rejected", "mask"],
            "caption_strategy": "textfile",
            "minimum_image_size": 0,
            **shared,
        },
        {"id": "rejected", "conditioning_type": "reference_strict", **linked, **shared},
        {"id": "mask", "conditioning_type": "mask", **linked, **shared},
    ]
    for dataset in datasets:
        dataset["instance_data_dir"] = f"{summary.home}/{split}/{dataset['id']}"
        dataset["cache_dir_vae"] = f"{summary.home}/cache/vae/{dataset['id']}"
    text: dict[str, object] = {"id": "text", "dataset_type": "text_embeds", "type": "local", "default": True}
    text["cache_dir"] = f"{summary.home}/cache/text"
    yield "multidatabackend.json", (json.dumps([*datasets, text], indent=2) + "\n").encode()


SIMPLETUNER: Final = Format(
    name="simpletuner",
    container="folder",
    shard=partial(folder_shard, LAYOUT),
    closing=_closing,
    layout=LAYOUT,
)
