"""A residual of bundle adjustment: a camera's pose, a quaternion and a position, and a point; and a relative pose.

A pose is moved by six numbers: a rotation vector in its own frame, and a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from derivatives.poses import I3, exp_so3, hat, log_so3, quat_plus, right_inverse

SEEN = np.array([310.0, 255.0])


def rotation(q: Any) -> Any:
    """Give the matrix of a quaternion (w, x, y, z)."""
    w, v = q[0], q[1:]
    return (w * w - v @ v) * I3 + 2 * np.outer(v, v) + 2 * w * hat(v)


def pose_plus(pose: Any, d: Any) -> Any:
    """Move a pose."""
    return np.concatenate([quat_plus(pose[:4], d[:3]), pose[4:] + d[3:]])


def reprojection(pose: Any, point: Any) -> Any:
    """Give where a point is seen, less where it was."""
    p = rotation(pose[:4]).T @ (point - pose[4:])
    u, v = p[0] / p[2], p[1] / p[2]
    r = u * u + v * v
    return 500 * (1 + 0.1 * r) * np.array([u, v]) + [320, 240] - SEEN


def reprojection_jac(pose: Any, point: Any) -> tuple[Any, Any]:
    """Give the derivatives by the six numbers of the pose, and by the point."""
    back = rotation(pose[:4]).T
    p = back @ (point - pose[4:])
    u, v, z = p[0] / p[2], p[1] / p[2], p[2]
    r = u * u + v * v
    lens = 500 * (np.eye(2) * (1 + 0.1 * r) + 0.2 * np.outer([u, v], [u, v]))
    camera = lens @ np.array([[1 / z, 0, -u / z], [0, 1 / z, -v / z]])
    return camera @ np.hstack([hat(p), -back]), camera @ back


def relative(a: Any, b: Any) -> Any:
    """Give pose b in the frame of pose a."""
    back = rotation(a[:4]).T
    q = np.concatenate([[a[0]], -a[1:4]])
    w, v = q[0] * b[0] - q[1:] @ b[1:4], q[0] * b[1:4] + b[0] * q[1:] + np.cross(q[1:], b[1:4])
    return np.concatenate([[w], v, back @ (b[4:] - a[4:])])


def pose_local(y: Any, z: Any) -> Any:
    """Give pose z in coordinates at pose y."""
    return np.concatenate([log_so3(rotation(y[:4]).T @ rotation(z[:4])), z[4:] - y[4:]])


def relative_jac(a: Any, b: Any) -> tuple[Any, Any]:
    """Give the derivatives of the six coordinates of b in the frame of a, at that pose."""
    ra, rb = rotation(a[:4]), rotation(b[:4])
    by_a, by_b = np.zeros((6, 6)), np.zeros((6, 6))
    by_a[:3, :3], by_b[:3, :3] = -rb.T @ ra, I3
    by_a[3:, :3], by_a[3:, 3:], by_b[3:, 3:] = hat(ra.T @ (b[4:] - a[4:])), -ra.T, ra.T
    return by_a, by_b


def pose_error(a: Any, b: Any) -> Any:
    """Give the error of a measured relative pose, in coordinates at the measurement."""
    r = rotation(relative(a, b)[:4])
    return np.concatenate([log_so3(MEASURED.T @ r), relative(a, b)[4:]])


def pose_error_jac(a: Any, b: Any) -> tuple[Any, Any]:
    """Give its derivatives: those of the relative pose, and of the logarithm."""
    by_a, by_b = relative_jac(a, b)
    outer = np.eye(6)
    outer[:3, :3] = right_inverse(pose_error(a, b)[:3])
    return outer @ by_a, outer @ by_b


MEASURED = exp_so3(np.array([0.4, -0.2, 0.7]))


def poses(seed: int) -> tuple[Any, Any, Any]:
    """Give two poses and a point before both."""
    rng = np.random.default_rng(seed)

    def pose() -> Any:
        q = quat_plus(np.array([1.0, 0, 0, 0]), rng.uniform(-0.5, 0.5, 3))
        return np.concatenate([q, rng.uniform(-0.5, 0.5, 3)])

    return pose(), pose(), np.array([0.3, -0.2, 4.0]) + rng.uniform(-0.3, 0.3, 3)
