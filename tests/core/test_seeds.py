import numpy as np
import pytest

from asap.core.seeds import derive, generator

PINNED = (6148773199958884930, 4405684212404496659)


def test_derive_is_pinned() -> None:
    """A change of the encoding would silently change every dataset, so the values are written down."""
    assert derive(0) == PINNED[0]
    assert derive(7, "pairs", 3) == PINNED[1]


def test_derive_tells_types_borders_and_order_apart() -> None:
    seeds = [derive(0, "1"), derive(0, 1), derive(0, "ab", "c"), derive(0, "a", "bc"), derive(0, "c", "ab"), derive(0)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_numpy_integers_count_as_integers() -> None:
    assert derive(np.int64(3), np.int32(4)) == derive(3, 4)


def test_other_keys_are_refused() -> None:
    with pytest.raises(TypeError):
        derive(0, 1.5)  # type: ignore[arg-type]


def test_generator_is_repeatable_and_leaves_the_global_state_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    first, second = generator(1, "x").random(4), generator(1, "x").random(4)
    assert (first == second).all()
    assert (first != generator(1, "y").random(4)).all()
    assert (before == np.random.get_state()[1]).all()  # type: ignore[index]
