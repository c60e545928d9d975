"""OneTrainer: NAME.png, NAME.txt and the mask NAME-masklabel.png in one folder; the mask is white in the trained area.

Source: "Masked training" in docs/QuickStartGuide.md and modules/dataLoader/mixin/DataLoaderText2ImageMixin.py of
Nerogar/OneTrainer (``exclude_postfix``, ``ModifyPath``). A concept is the folder SPLIT/chosen, without subdirectories.
"""

from functools import partial
from typing import Final

from asap.exchange.folders import folder_shard, parse_folder
from asap.exchange.pair import Format, no_closing_note

__all__ = ["ONETRAINER"]

LAYOUT: Final = {
    "chosen": "chosen/{}",
    "rejected": "rejected/{}",
    "mask": "chosen/{}-masklabel",
    "text": "chosen/{}",
}
ONETRAINER: Final = Format(
    name="onetrainer",
    container="folder",
    shard=partial(folder_shard, LAYOUT),
    closing=no_closing_note,
    parse=parse_folder,
    layout=LAYOUT,
)
