from asap.core.vocabulary import HIDING_OPERATIONS, OPERATIONS, PARTS
from asap.degrade import OPERATION_TABLE as MESH
from asap.degrade.diffusion import SKELETON_OPERATIONS as SKELETON
from asap.degrade.photo import OPERATION_TABLE as PHOTO


def test_every_operation_of_the_vocabulary_exists_in_some_table_and_no_other_does() -> None:
    registered = {operation for _, operation in (*MESH, *SKELETON)} | {operation for _, _, operation in PHOTO}
    assert registered == set(OPERATIONS)
    assert set(HIDING_OPERATIONS) < set(OPERATIONS)


def test_every_part_can_be_broken() -> None:
    assert {part for part, _ in MESH} == set(PARTS)
