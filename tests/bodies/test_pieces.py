"""Piece maps agree with the part-id maps of the same images and name what is there."""

import numpy as np

from asap.bodies import load_rig, pieces, render, sample_scene
from asap.core.vocabulary import PIECES, REGIONS

OF_REGION = {"hand": ("palm", "finger"), "foot": ("foot", "toe"), "leg": ("upperleg", "lowerleg")}


def test_pieces_lie_within_their_regions_and_background_is_background() -> None:
    rig, agree, seen = load_rig(), [], set[str]()
    for index in range(12):
        rendering = render(sample_scene(rig, 5, "pieces", index).scene, 64)
        found = pieces(rendering, rig)
        assert found.shape == rendering.regions.shape
        assert found.dtype == np.uint8
        assert np.array_equal(found == PIECES.index("background"), rendering.regions == REGIONS.index("background"))
        seen |= {PIECES[value] for value in np.unique(found)}
        for region, starts in OF_REGION.items():
            inside = np.isin(rendering.regions, [i for i, name in enumerate(REGIONS) if name.startswith(region)])
            named = np.isin(found, [i for i, name in enumerate(PIECES) if name.startswith(starts)])
            agree.append((named[inside].mean(), inside.sum()) if inside.any() else (1.0, 0))
    share = sum(part * count for part, count in agree) / sum(count for _, count in agree)
    assert share > 0.9
    assert len({name for name in seen if name.startswith("finger")}) >= 10


def test_no_piece_is_named_twice() -> None:
    assert len(set(PIECES)) == len(PIECES) == 33
