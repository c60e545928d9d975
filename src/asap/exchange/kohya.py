"""kohya-ss/sd-scripts: images with captions in one folder, masks of the same names in ``conditioning_data_dir``.

Source: docs/masked_loss_README.md, library/config_util.py and ``ControlNetDataset`` in library/train_util.py of
kohya-ss/sd-scripts. The red channel of the mask is the weight of the loss (255 is 1), and its size is that of the
image. Every image needs a mask and every mask an image. Start the training script with ``--dataset_config
OUT/dataset.toml --masked_loss``.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Final

from asap.exchange.folders import folder_shard, parse_folder
from asap.exchange.pair import Format, Summary

__all__ = ["KOHYA"]

LAYOUT: Final = {"chosen": "chosen/{}", "rejected": "rejected/{}", "mask": "mask/{}", "text": "chosen/{}"}


def _closing(summary: Summary) -> Iterator[tuple[str, bytes]]:
    """The configuration of the dataset: only chosen images, and only those of the training split if there is one."""
    split = "train" if "train" in summary.splits else summary.splits[0]
    width, height = max(summary.sizes, key=lambda size: (summary.sizes[size], size))
    folder = f"{summary.home}/{split}"
    lines = [
        "[general]",
        'caption_extension = ".txt"',
        f"enable_bucket = {'true' if len(summary.sizes) > 1 else 'false'}",
        "",
        "[[datasets]]",
        f"resolution = [{width}, {height}]",
        "batch_size = 1",
        "",
        "[[datasets.subsets]]",
        f"image_dir = {json.dumps(f'{folder}/chosen')}",
        f"conditioning_data_dir = {json.dumps(f'{folder}/mask')}",
        "num_repeats = 1",
    ]
    yield "dataset.toml", "".join(f"{line}\n" for line in lines).encode()


KOHYA: Final = Format(
    name="kohya",
    container="folder",
    shard=partial(folder_shard, LAYOUT),
    closing=_closing,
    parse=parse_folder,
    layout=LAYOUT,
)
