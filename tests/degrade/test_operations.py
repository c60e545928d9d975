"""One battery for every cell of the table, on a person of tubes."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial import cKDTree

from asap.core.errors import InputError, UnknownNameError
from asap.core.records import EditedBody, FloatArray, PosedBody
from asap.core.vocabulary import OPERATIONS, PARTS, REGIONS
from asap.degrade import OPERATION_TABLE, SEVERITY_SHARES, apply, sample_edit
from asap.degrade.anatomy import root_of
from asap.degrade.deform import deviations
from asap.degrade.editable_body import EditableBody
from tests.degrade.synthetic import synthetic_body

SWEEP = list(OPERATION_TABLE)
WEIGHTS = {key: entry.weight for key, entry in OPERATION_TABLE.items()}
SEEDS = (0, 1, 2)


def side_of(part: str) -> str:
    return "none" if part in ("face", "torso", "neck") else "left"


@cache
def edit(part: str, operation: str, severity: int = 2, seed: int = 0) -> EditedBody:
    return apply(synthetic_body(), part, side_of(part), operation, severity, np.random.default_rng(seed))


OTHER_SIDE = tuple(n for n, name in enumerate(REGIONS) if name.endswith(".R"))


def skin(body: PosedBody) -> FloatArray:
    """Middles of all faces but those of the right limbs, which a left limb may come near."""
    faces = body.faces[~np.isin(body.regions[body.faces[:, 0]], OTHER_SIDE)]
    return np.asarray(body.vertices[faces].mean(axis=1))


def change(body: PosedBody, edited: EditedBody) -> float:
    """Mean way of the vertices where the faces are the same, else mean distance of the two skins; metres."""
    if edited.body.faces.shape == body.faces.shape:
        return float(np.linalg.norm(edited.body.vertices - body.vertices, axis=1).mean())
    before, after = skin(body), skin(edited.body)
    there, back = cKDTree(after).query(before)[0], cKDTree(before).query(after)[0]
    return float(there.sum() + back.sum()) / len(before)


def test_sweep_covers_the_table() -> None:
    assert len(SWEEP) >= 67
    assert {part for part, _ in SWEEP} == set(PARTS)
    assert {operation for _, operation in SWEEP} <= set(OPERATIONS)
    assert all(entry.weight > 0 and entry.source for entry in OPERATION_TABLE.values())
    assert sum(SEVERITY_SHARES) == pytest.approx(1)


def test_misshapen_and_proportions_outweigh_extra_fingers() -> None:
    total = sum(WEIGHTS.values())
    shapes = sum(w for (_, o), w in WEIGHTS.items() if o in ("misshapen", "elongated", "shortened", "thickened"))
    assert shapes / total > 0.5
    assert WEIGHTS["hand", "extra"] / total < 0.05


@pytest.mark.parametrize(("part", "operation"), SWEEP)
class TestOperation:
    def test_input_is_unchanged(self, part: str, operation: str) -> None:
        body = synthetic_body()
        before = {f.name: np.array(getattr(body, f.name)) for f in fields(body)}
        edit(part, operation, 3)
        for name, value in before.items():
            np.testing.assert_array_equal(value, np.array(getattr(body, name)), err_msg=name)

    def test_same_seed_same_result(self, part: str, operation: str) -> None:
        body = synthetic_body()
        first, second = (apply(body, part, side_of(part), operation, 2, np.random.default_rng(5)) for _ in range(2))
        np.testing.assert_array_equal(first.body.vertices, second.body.vertices)
        np.testing.assert_array_equal(first.body.faces, second.body.faces)
        assert first.edit == second.edit

    @pytest.mark.parametrize("seed", SEEDS)
    def test_arrays_are_consistent(self, part: str, operation: str, seed: int) -> None:
        for severity in (1, 2, 3):
            edited = edit(part, operation, severity, seed)
            body, count = edited.body, len(edited.body.vertices)
            assert body.vertices.dtype == np.float32
            assert np.isfinite(body.vertices).all()
            assert np.isfinite(body.colours).all()
            assert body.faces.dtype == np.int32
            assert 0 <= body.faces.min() <= body.faces.max() < count
            for rows in (body.colours, body.regions, body.bone_indices, body.bone_weights, edited.touched):
                assert len(rows) == count
            np.testing.assert_allclose(body.bone_weights.sum(axis=1), 1, atol=1e-4)
            assert count >= len(synthetic_body().vertices)
            assert edited.edit.part == part
            assert edited.edit.operation == operation
            assert edited.edit.severity == severity

    def test_touched_is_exactly_what_changed(self, part: str, operation: str) -> None:
        body, edited = synthetic_body(), edit(part, operation)
        old = len(body.vertices)
        moved = np.linalg.norm(edited.body.vertices[:old] - body.vertices, axis=1) > 1e-4
        assert edited.touched.any()
        assert edited.touched[old:].all()
        assert edited.touched[:old][moved].all()

    def test_only_the_part_and_what_hangs_from_it_moves(self, part: str, operation: str) -> None:
        body, edited = synthetic_body(), edit(part, operation, 3)
        work = EditableBody(body)
        sides = ("left", "right") if (part, operation) == ("leg", "fused") else (side_of(part),)
        # a face hangs from the neck, a foot is cut above the ankle, a wrist is wrung with its forearm's end
        roots = {"face": "neck03", "foot": "lowerleg02", "torso": "root", "hand": "lowerarm02"}
        allowed = np.zeros(len(body.vertices), dtype=bool)
        for side in sides:
            label = root_of(part, side)
            letter = label.partition(".")[2]
            wide = roots.get(part)
            label = label if wide is None else f"{wide}.{letter}" if letter else wide
            allowed |= work.weight(label) > 0
        assert not (edited.touched[: len(body.vertices)] & ~allowed).any()

    @pytest.mark.parametrize("seed", SEEDS)
    def test_severity_grows_the_change(self, part: str, operation: str, seed: int) -> None:
        body = synthetic_body()
        sizes = [change(body, edit(part, operation, severity, seed)) for severity in (1, 2, 3)]
        assert sizes[0] > 0
        assert sizes[0] < sizes[1] < sizes[2], sizes

    def test_nothing_explodes(self, part: str, operation: str) -> None:
        body = synthetic_body()
        low, high = body.vertices.min(axis=0), body.vertices.max(axis=0)
        for seed in SEEDS:
            edited = edit(part, operation, 3, seed).body
            used = edited.vertices[np.unique(edited.faces)]
            assert (used > low - 0.75).all()
            assert (used < high + 0.75).all()


@pytest.mark.parametrize("part", [p for p in PARTS if side_of(p) == "left"])
def test_left_and_right_are_mirror_images(part: str) -> None:
    """The person of tubes is symmetric, so the size of what a seed does must be the same on both sides."""
    body = synthetic_body()
    for operation in (o for p, o in SWEEP if p == part):
        left = apply(body, part, "left", operation, 2, np.random.default_rng(3))
        right = apply(body, part, "right", operation, 2, np.random.default_rng(3))
        assert len(left.body.vertices) == len(right.body.vertices), operation
        assert left.touched.sum() == pytest.approx(right.touched.sum(), rel=0.2), operation


class TestSampling:
    def test_weights_are_followed(self) -> None:
        rng = np.random.default_rng(0)
        draws = [sample_edit(synthetic_body(), [("hand", "left"), ("face", "none")], rng) for _ in range(600)]
        share = np.mean([d[0] == "hand" and d[2] == "misshapen" for d in draws])
        total = sum(w for (p, _), w in WEIGHTS.items() if p in ("hand", "face"))
        assert share == pytest.approx(WEIGHTS["hand", "misshapen"] / total, abs=0.06)
        assert all(side == ("left" if part == "hand" else "none") for part, side, _, _ in draws)
        assert {d[3] for d in draws} == {1, 2, 3}

    def test_operations_narrow_the_choice(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(20):
            assert sample_edit(synthetic_body(), [("arm", "right")], rng, operations=["twisted"])[:3] == (
                "arm",
                "right",
                "twisted",
            )

    def test_nothing_left_says_so(self) -> None:
        with pytest.raises(InputError, match="no operation fits"):
            sample_edit(synthetic_body(), [("torso", "none")], np.random.default_rng(0), operations=["fused"])

    def test_part_without_skin_is_left_out(self) -> None:
        body = synthetic_body()
        keep = np.flatnonzero(EditableBody(body).weight("wrist.L") == 0)
        small = replace(
            body,
            vertices=body.vertices[keep],
            faces=np.zeros((0, 3), dtype=np.int32),
            colours=body.colours[keep],
            regions=body.regions[keep],
            bone_indices=body.bone_indices[keep],
            bone_weights=body.bone_weights[keep],
        )
        with pytest.raises(InputError, match="no operation fits"):
            sample_edit(small, [("hand", "left")], np.random.default_rng(0))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("tail", "none", "extra", 1), UnknownNameError, "unknown part 'tail'"),
        (("hand", "left", "melted", 1), UnknownNameError, "unknown operation 'melted'"),
        (("hand", "none", "extra", 1), InputError, "left or right"),
        (("face", "left", "extra", 1), InputError, "must be none"),
        (("neck", "none", "extra", 1), InputError, "does not fit"),
        (("hand", "left", "extra", 4), InputError, "severity must be 1, 2 or 3"),
    ],
)
def test_bad_input(arguments: tuple[str, str, str, int], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        apply(synthetic_body(), *arguments, np.random.default_rng(0))


def test_no_deviation_of_a_misshapen_part_is_near_zero() -> None:
    draws = deviations(np.random.default_rng(0), (4000,))
    assert np.abs(draws).min() == 0.7
    assert np.abs(draws).max() == 1.6
    assert (draws > 0).mean() == pytest.approx(0.5, abs=0.03)
