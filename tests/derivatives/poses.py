"""Dense Jacobians of cameras and poses: projections, rotations, residuals on manifolds."""

from __future__ import annotations

from typing import Any

import numpy as np

from derivatives.case import Subject, Wrong, at

I3 = np.eye(3)


def hat(v: Any) -> Any:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def exp_so3(w: Any) -> Any:
    """Give the rotation of a vector (Rodrigues)."""
    a = np.linalg.norm(w)
    if a < 1e-8:
        return I3 + hat(w)
    k = hat(w / a)
    return I3 + np.sin(a) * k + (1 - np.cos(a)) * k @ k


def log_so3(r: Any) -> Any:
    """Give the vector of a rotation."""
    v = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) / 2
    s = np.linalg.norm(v)
    return v * (np.arctan2(s, (np.trace(r) - 1) / 2) / s if s > 1e-12 else 1.0)


def right_inverse(w: Any) -> Any:
    """Give the inverse of the right Jacobian of SO(3)."""
    a = np.linalg.norm(w)
    k = hat(w)
    c = 1 / 12 if a < 1e-4 else 1 / a**2 - (1 + np.cos(a)) / (2 * a * np.sin(a))
    return I3 + k / 2 + c * k @ k


def turned(r: Any, d: Any) -> Any:
    """Move a rotation by a vector in its own frame."""
    return r @ exp_so3(d)


def quat_product(p: Any, q: Any) -> Any:
    """Multiply quaternions (w, x, y, z)."""
    w, v = p[0] * q[0] - p[1:] @ q[1:], p[0] * q[1:] + q[0] * p[1:] + np.cross(p[1:], q[1:])
    return np.concatenate([[w], v])


def quat_plus(q: Any, d: Any) -> Any:
    """Move a quaternion by a rotation vector in its own frame."""
    a = np.linalg.norm(d)
    s = 0.5 - a**2 / 48 if a < 1e-4 else np.sin(a / 2) / a
    return quat_product(q, np.concatenate([[np.cos(a / 2)], s * d]))


# --- cameras ---


def project(p: Any) -> Any:
    return np.array([500 * p[0] / p[2] + 320, 480 * p[1] / p[2] + 240])


def project_jac(p: Any) -> Any:
    x, y, z = p
    return np.array([[500 / z, 0, -500 * x / z**2], [0, 480 / z, -480 * y / z**2]])


def rows_crossed(p: Any) -> Any:
    x, y, z = p
    return np.array([[500 / z, 0, -500 * y / z**2], [0, 480 / z, -480 * x / z**2]])


CAMERA = np.array([0.4, -0.3, 0.2])


def seen(p: Any) -> Any:
    """A point from a camera that is not at the origin."""
    return project(p - CAMERA)


def seen_jac(p: Any) -> Any:
    return project_jac(p - CAMERA)


def by_the_camera(p: Any) -> Any:
    z = (p - CAMERA)[2]
    return np.array([[500 / z, 0, -500 * CAMERA[0] / z**2], [0, 480 / z, -480 * CAMERA[1] / z**2]])


def depth(p: Any) -> Any:
    """A projection with the inverse distance as a third number."""
    return np.array([p[0] / p[2], p[1] / p[2], 1 / p[2]])


def depth_jac(p: Any) -> Any:
    x, y, z = p
    return np.array([[1 / z, 0, -x / z**2], [0, 1 / z, -y / z**2], [0, 0, -1 / z**2]])


def tangential(p: Any) -> Any:
    """Radial and tangential distortion."""
    x, y = p[0] / p[2], p[1] / p[2]
    r = x * x + y * y
    k1, p1, p2 = 0.2, 0.05, -0.03
    return np.array(
        [x * (1 + k1 * r) + 2 * p1 * x * y + p2 * (r + 2 * x * x),
         y * (1 + k1 * r) + p1 * (r + 2 * y * y) + 2 * p2 * x * y]
    )  # fmt: skip


def tangential_jac(p: Any, with_tangential: float = 1.0, of_r: float = 1.0) -> Any:
    x, y, z = p[0] / p[2], p[1] / p[2], p[2]
    r = x * x + y * y
    k1, p1, p2 = 0.2, 0.05 * with_tangential, -0.03 * with_tangential
    own, mixed = 1 + k1 * r, 2 * k1 * x * y * of_r + 2 * p1 * x + 2 * p2 * y
    by_x, by_y = 2 * k1 * x * x * of_r + 2 * p1 * y + 6 * p2 * x, 2 * k1 * y * y * of_r + 6 * p1 * y + 2 * p2 * x
    inner = np.array([[own + by_x, mixed], [mixed, own + by_y]])
    return inner @ np.array([[1 / z, 0, -x / z], [0, 1 / z, -y / z]])


R2 = 0.6


def rational(k: Any) -> Any:
    """A rational distortion by its six coefficients."""
    powers = np.array([R2, R2**2, R2**3])
    return np.array([0.7, -0.4]) * (1 + k[:3] @ powers) / (1 + k[3:] @ powers)


def rational_jac(k: Any) -> Any:
    powers = np.array([R2, R2**2, R2**3])
    a, b = k[:3] @ powers, 1 + k[3:] @ powers
    return np.outer([0.7, -0.4], np.concatenate([powers / b, -(1 + a) * powers / b**2]))


def rational_wrong(k: Any) -> Any:
    powers = np.array([R2, R2**2, R2**3])
    a, b = k[:3] @ powers, 1 + k[3:] @ powers
    return np.outer([0.7, -0.4], np.concatenate([powers / b, -a * powers / b**2]))


# --- rotations ---

PRIOR = exp_so3(np.array([0.3, -0.8, 0.5]))


def rotated(w: Any) -> Any:
    """What becomes of a rotation vector that another rotation is put before."""
    return log_so3(PRIOR @ exp_so3(w))


def right_jacobian(w: Any) -> Any:
    return np.linalg.inv(right_inverse(w))


def rotated_jac(w: Any) -> Any:
    return right_inverse(rotated(w)) @ right_jacobian(w)


def pointed(r: Any) -> Any:
    return r @ np.array([0.5, -1.0, 2.0])


def pointed_jac(r: Any) -> Any:
    return -r @ hat(np.array([0.5, -1.0, 2.0]))


def off_prior(r: Any) -> Any:
    """How far a rotation is from another: a rotation; the rows are by `local`."""
    return PRIOR.T @ r


def between(a: Any, b: Any) -> Any:
    """The error of a measured rotation between two."""
    return log_so3(PRIOR.T @ a.T @ b)


def between_jac(a: Any, b: Any) -> Any:
    j = right_inverse(between(a, b))
    return -j @ (b.T @ a), j


def gravity(q: Any) -> Any:
    """The direction of gravity in the frame of a quaternion."""
    w, v = q[0], q[1:]
    g = np.array([0.0, 0.6, 0.8])
    return g - 2 * w * np.cross(v, g) + 2 * np.cross(v, np.cross(v, g))


def gravity_jac(q: Any) -> Any:
    return hat(gravity(q))


def product(q: Any) -> Any:
    """A quaternion itself: its four numbers by the three of a rotation."""
    return q


def product_jac(q: Any) -> Any:
    w, x, y, z = q
    return np.array([[-x, -y, -z], [w, -z, y], [z, w, -x], [-y, x, w]]) / 2


def prior(q: Any) -> Any:
    """Twice the vector part of what a quaternion is from a prior."""
    return 2 * quat_product(QUAT0 * [1, -1, -1, -1], q)[1:]


def prior_jac(q: Any, of: Any = None) -> Any:
    r = quat_product(QUAT0 * [1, -1, -1, -1], q) if of is None else of
    return r[0] * I3 + hat(r[1:])


def se2(x: Any) -> Any:
    """A pose in the plane from another, of which the first stays."""
    c, s = np.cos(0.4), np.sin(0.4)
    return np.array([c * (x[0] - 1) + s * (x[1] - 2), -s * (x[0] - 1) + c * (x[1] - 2), x[2] - 0.4])


def se2_jac(x: Any) -> Any:
    c, s = np.cos(0.4), np.sin(0.4)
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def se2_plus(x: Any, d: Any) -> Any:
    c, s = np.cos(x[2]), np.sin(x[2])
    return x + np.array([c * d[0] - s * d[1], s * d[0] + c * d[1], d[2]])


def distance(x: Any) -> Any:
    """How far a pose is from a place; moved in its own frame."""
    return np.hypot(x[0] - 0.3, x[1] + 0.5)


def distance_jac(x: Any) -> Any:
    d, c, s = np.array([x[0] - 0.3, x[1] + 0.5]) / distance(x), np.cos(x[2]), np.sin(x[2])
    return np.array([c * d[0] + s * d[1], -s * d[0] + c * d[1], 0.0])


def tip(x: Any) -> Any:
    """The end of a rod that a pose in the plane holds."""
    c, s = np.cos(x[2]), np.sin(x[2])
    return x[:2] + np.array([c - 0.5 * s, s + 0.5 * c])


def tip_jac(x: Any) -> Any:
    c, s = np.cos(x[2]), np.sin(x[2])
    return np.array([[c, -s, -s - 0.5 * c], [s, c, c - 0.5 * s]])


def bias(b: Any) -> Any:
    return np.array([0.02, -0.01, 0.05]) - b


def bias_jac(b: Any) -> Any:
    return -I3


def odometry(a: Any, b: Any) -> Any:
    return np.array([1.2, -0.4]) - (b - a)


def odometry_jac(a: Any, b: Any) -> Any:
    return np.eye(2), -np.eye(2)


POINT = np.array([0.5, -0.8, 2.2])
W0 = np.array([0.4, 0.9, -0.6])
R0, R1 = exp_so3(W0), exp_so3(np.array([-0.5, 0.2, 1.0]))
QUAT0 = np.array([0.8, 0.2, -0.4, 0.4])
QUAT = np.array([0.5, -0.1, 0.7, 0.5]) / np.linalg.norm([0.5, -0.1, 0.7, 0.5])
POSE = np.array([1.4, -0.6, 0.8])
ON_SO3 = {"retract": turned}
ON_Q = {"retract": quat_plus}

SUBJECTS = (
    Subject("project", project, project_jac, (POINT,), (
        Wrong("rows_crossed", rows_crossed, "column 2", "tum-vision/dvo_slam#22"),
        Wrong("z_once", lambda p: project_jac(p) * [1, 1, p[2]], "column 2: factor"),
    )),
    Subject("seen", seen, seen_jac, (POINT,), (
        Wrong("by_the_camera", by_the_camera, "column 2", "nerfstudio-project/gsplat#532"),
    )),
    Subject("depth", depth, depth_jac, (POINT,), (
        Wrong("of_the_inverse", at(depth_jac, (np.s_[2, 2], np.negative)), "factor -1",
              "RainerKuemmerle/g2o#541"),
        Wrong("missing", at(depth_jac, (np.s_[2, 2], lambda a: 0)), "row 2 zero"),
    )),
    Subject("tangential", tangential, tangential_jac, (POINT,), (
        Wrong("radial_only", lambda p: tangential_jac(p, 0.0), "", "opencv/opencv#6030"),
        Wrong("r_is_constant", lambda p: tangential_jac(p, 1.0, 0.0), ""),
    )),
    Subject("rational", rational, rational_jac, (np.array([0.3, -0.1, 0.05, 0.2, 0.1, -0.04]),), (
        Wrong("other_form", rational_wrong, "columns 3, 4, 5", "facebookresearch/momentum#1486"),
    )),
    Subject("rotated", rotated, rotated_jac, (W0,), (
        Wrong("left_for_right", lambda w: right_inverse(rotated(w)).T @ right_jacobian(w), "",
              "stephane-caron/pink#81"),
        Wrong("identity", lambda w: np.eye(3), ""),
    )),
    Subject("pointed", pointed, pointed_jac, (R0,), (
        Wrong("sign", lambda r: -pointed_jac(r), "factor -1"),
        Wrong("other_frame", lambda r: -hat(pointed(r)), "", "izhengfan/ba_demo_ceres#6"),
    ), ON_SO3),
    Subject("off_prior", off_prior, lambda r: I3, (R0,), (
        Wrong("adjoint", lambda r: r.T @ PRIOR, ""),
    ), {**ON_SO3, "local": lambda y, z: log_so3(y.T @ z)}),
    Subject("between", between, between_jac, (R0, R1), (
        Wrong("no_log", lambda a, b: (-b.T @ a, I3), "", "borglab/gtsam#1659"),
        Wrong("sign", lambda a, b: (-between_jac(a, b)[0], between_jac(a, b)[1]), "factor -1"),
        Wrong("swapped", lambda a, b: between_jac(a, b)[::-1], "blocks swapped"),
    ), {"retract": (turned, turned)}),
    Subject("gravity", gravity, gravity_jac, (QUAT,), (
        Wrong("half", lambda q: gravity_jac(q) / 2, "factor 1/2"),
        Wrong("transposed", lambda q: gravity_jac(q).T, "factor -1"),
    ), ON_Q),
    Subject("product", product, product_jac, (QUAT,), (
        Wrong("identity", lambda q: np.eye(4, 3, -1), "", "HKUST-Aerial-Robotics/VINS-Fusion#49"),
        Wrong("no_half", lambda q: 2 * product_jac(q), "factor 2"),
    ), ON_Q),
    Subject("prior", prior, prior_jac, (QUAT,), (
        Wrong("of_the_current", lambda q: prior_jac(q, q), "", "ethz-asl/maplab#98"),
        Wrong("no_cross", lambda q: prior_jac(q)[0, 0] * I3, "entries missing"),
    ), ON_Q),
    Subject("se2", se2, se2_jac, (POSE,), (
        Wrong("turned_back", lambda x: se2_jac(x).T, "transposed"),
    )),
    Subject("distance", distance, distance_jac, (POSE,), (
        Wrong("not_in_its_frame", lambda x: np.array([*((x[:2] - [0.3, -0.5]) / distance(x)), 0.0]), "",
              "borglab/gtsam#319"),
    ), {"retract": se2_plus}),
    Subject("tip", tip, tip_jac, (POSE,), (
        Wrong("in_the_world", at(tip_jac, (np.s_[:, :2], lambda a: np.eye(2))), "columns 0, 1",
              "stack-of-tasks/pinocchio#256"),
    ), {"retract": se2_plus}),
    Subject("bias", bias, bias_jac, (np.array([0.01, 0.03, -0.02]),), (
        Wrong("plus", lambda b: I3, "factor -1", "UZ-SLAMLab/ORB_SLAM3#330"),
    )),
    Subject("odometry", odometry, odometry_jac, (np.array([0.2, 0.1]), np.array([1.1, -0.5])), (
        Wrong("other_error", lambda a, b: (-np.eye(2), np.eye(2)), "factor -1", "borglab/gtsam#1340"),
        Wrong("one_sign", lambda a, b: (np.eye(2), np.eye(2)), "factor -1", "borglab/gtsam#1134"),
    )),
)  # fmt: skip
