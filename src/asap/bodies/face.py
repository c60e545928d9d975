"""Where the 68 points of a face lie on the body: one vertex each, read off the rendered template, checked by tests.

Order and meaning are those of the 68-point face of COCO-WholeBody (iBUG 300-W): jaw from the person's right ear to the
left (0-16), right and left eyebrow (17-26), bridge and base of the nose (27-35), right and left eye (36-47), outer and
inner lips (48-67).
"""

from typing import Final

__all__ = ["FACE_VERTICES", "VERTICES"]

VERTICES: Final = 13718
"""Vertices of the body whose numbers these are (Anny 0.6); edited bodies keep the numbers and add new ones behind."""
# fmt: off
FACE_VERTICES: Final = (
    5723, 5522, 270, 736, 894, 892, 995, 993, 732, 7671, 7673, 7578, 7580, 7440, 7023, 12105, 12304,
    255, 231, 229, 230, 233, 6990, 6987, 6986, 6988, 7008,
    133, 131, 164, 5118, 5079, 295, 297, 7046, 11678,
    1114, 2, 56, 67, 4846, 4844, 6835, 6824, 6770, 7790, 11446, 11448,
    407, 5338, 355, 362, 7100, 11924, 7151, 7242, 7293, 574, 568, 510,
    415, 506, 509, 7239, 7159, 7260, 537, 531,
)
# fmt: on
