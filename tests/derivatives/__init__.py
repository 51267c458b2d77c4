"""Right and wrong Jacobians and Hessians of small functions, by field; see `derivatives.case`."""

from __future__ import annotations

from derivatives import hard, hessian, jacobian, poses, sparse_subjects
from derivatives.case import Case, cases

CASES: dict[str, tuple[Case, ...]] = {
    "jacobian": tuple(cases("jacobian", (*jacobian.SUBJECTS, *poses.SUBJECTS, *hard.JACOBIAN))),
    "sparse": tuple(cases("sparse", (*sparse_subjects.SUBJECTS, *hard.SPARSE))),
    "hessian": tuple(cases("hessian", (*hessian.SUBJECTS, *hard.HESSIAN))),
}
