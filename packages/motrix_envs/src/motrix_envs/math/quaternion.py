"""Batched quaternions in the order x, y, z, w (Hamilton product, right-handed, active rotations).

Every function takes arrays `(..., 4)` and broadcasts the leading axes. float32 stays float32. Rows
never mix, and nothing is normalised unless the name says so. A quaternion and its negative are the
same rotation.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]


def multiply(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the Hamilton product a b: as a rotation, first `b`, then `a`.

    Args:
        a: `(..., 4)`.
        b: `(..., 4)`.
    """
    ax, ay, az, aw = _components(a)
    bx, by, bz, bw = _components(b)
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        axis=-1,
    )


def conjugate(q: FloatArray) -> FloatArray:
    """Return (-x, -y, -z, w), which is the inverse of a unit quaternion."""
    x, y, z, w = _components(q)
    return np.stack([-x, -y, -z, w], axis=-1)


def inverse(q: FloatArray) -> FloatArray:
    """Return the multiplicative inverse of a quaternion that is not zero, unit or not."""
    return conjugate(q) / _squared_norm(q)[..., None]


def normalize(q: FloatArray) -> FloatArray:
    """Return the unit quaternion of the same direction; zero has none and gives the identity."""
    norm = np.sqrt(_squared_norm(q))
    is_zero = norm == 0
    unit = q / np.where(is_zero, 1, norm)[..., None]
    unit[..., 3] += is_zero
    return unit


def from_euler(
    roll: float | FloatArray, pitch: float | FloatArray, yaw: float | FloatArray
) -> FloatArray:
    """Return the unit quaternion that turns by yaw about z, then pitch about y, then roll about x.

    Each turn is about the axes already turned (intrinsic z-y'-x''), as usual for vehicles:
    R = Rz(yaw) Ry(pitch) Rx(roll).

    Args:
        roll: `(...)`, rad.
        pitch: `(...)`, rad.
        yaw: `(...)`, rad.

    Returns:
        `(..., 4)`, in the common dtype of the arrays (Python numbers adapt to it).
    """
    roll, pitch, yaw = _as_floats(roll, pitch, yaw)
    sr, cr = np.sin(roll / 2), np.cos(roll / 2)
    sp, cp = np.sin(pitch / 2), np.cos(pitch / 2)
    sy, cy = np.sin(yaw / 2), np.cos(yaw / 2)
    return np.stack(
        [
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
            cr * cp * cy + sr * sp * sy,
        ],
        axis=-1,
    )


def to_euler(q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return roll, pitch and yaw of a unit quaternion, the inverse of `from_euler`.

    At gimbal lock (pitch = +-pi/2) only yaw - roll or yaw + roll is determined; the two angles
    returned there still describe the same rotation.

    Source: half the sum and half the difference of roll and yaw are the angles of two planar
    vectors (Bernardes and Viollet, "Quaternion to Euler angles conversion", PLoS ONE 2022), for
    the sequence of `from_euler`.

    Args:
        q: `(..., 4)`, unit.

    Returns:
        Three arrays `(...)` in rad: roll and yaw in [-pi, pi], pitch in [-pi/2, pi/2].
    """
    x, y, z, w = _components(q)
    half_sum = np.arctan2(z + x, w - y)
    half_difference = np.arctan2(z - x, w + y)
    cos_pitch = np.hypot(z + x, w - y) * np.hypot(z - x, w + y)
    pitch = np.arctan2(2 * (w * y - x * z), cos_pitch)
    return _wrap(half_sum - half_difference), pitch, _wrap(half_sum + half_difference)


def from_angle_axis(angle: float | FloatArray, axis: FloatArray) -> FloatArray:
    """Return the unit quaternion that turns by `angle` about `axis`.

    Args:
        angle: `(...)`, rad.
        axis: `(..., 3)`, of any length; a zero axis gives the identity.

    Returns:
        `(..., 4)`.
    """
    angle, axis = _as_floats(angle, axis)
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    norm = np.sqrt(x * x + y * y + z * z)
    is_zero = norm == 0
    scale = np.sin(angle / 2) / np.where(is_zero, 1, norm)
    w = np.where(is_zero, 1, np.cos(angle / 2))
    return np.stack([x * scale, y * scale, z * scale, w], axis=-1)


def rotate_vector(q: FloatArray, vector: FloatArray) -> FloatArray:
    """Rotate vectors: from the body frame to the world frame, where `q` is the body's orientation.

    Source: v + 2 w (u x v) + 2 u x (u x v) for the quaternion (u, w).

    Args:
        q: `(..., 4)`, must be unit: another length would distort the vector.
        vector: `(..., 3)`.

    Returns:
        `(..., 3)`.
    """
    return _rotate(q, q[..., 3], vector)


def rotate_inverse(q: FloatArray, vector: FloatArray) -> FloatArray:
    """Rotate vectors back: from the world frame to the body frame, where `q` is the orientation.

    Args:
        q: `(..., 4)`, must be unit: another length would distort the vector.
        vector: `(..., 3)`.

    Returns:
        `(..., 3)`.
    """
    # The inverse (-u, w) is the same rotation as (u, -w), which needs no copy of u.
    return _rotate(q, -q[..., 3], vector)


def similarity(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the cosine of the angle between two orientations: 1 when equal, -1 half a turn apart.

    Source: cos(2 arccos d) = 2 d**2 - 1, where d is the dot product of the quaternions.

    Args:
        a: `(..., 4)`, unit.
        b: `(..., 4)`, unit.

    Returns:
        `(...)` in [-1, 1].
    """
    ax, ay, az, aw = _components(a)
    bx, by, bz, bw = _components(b)
    dot = ax * bx + ay * by + az * bz + aw * bw
    return np.minimum(2 * dot * dot - 1, 1)


def rotation_distance(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the angle of the rotation from one orientation to the other, rad, in [0, pi].

    The arctangent keeps its accuracy at both ends, where arcsine and arccosine lose theirs.

    Args:
        a: `(..., 4)`, unit.
        b: `(..., 4)`, unit.

    Returns:
        `(...)`.
    """
    x, y, z, w = _components(multiply(conjugate(a), b))
    return 2 * np.arctan2(np.sqrt(x * x + y * y + z * z), np.abs(w))


def get_yaw(q: FloatArray) -> FloatArray:
    """Return the heading of the body's x axis in the world's x-y plane, rad, in [-pi, pi].

    Args:
        q: `(..., 4)`, unit.

    Returns:
        `(...)`.
    """
    x, y, z, w = _components(q)
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def to_matrix(q: FloatArray) -> FloatArray:
    """Return rotation matrices, whose columns are the body's axes in the world frame.

    Args:
        q: `(..., 4)`, unit.

    Returns:
        `(..., 3, 3)`.
    """
    x, y, z, w = _components(q)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return np.stack(entries, axis=-1).reshape(*x.shape, 3, 3)


def random(uniform: FloatArray) -> FloatArray:
    """Return unit quaternions, uniform over all orientations, from uniform numbers.

    Source: Shoemake, "Uniform random rotations", Graphics Gems III, 1992.

    Args:
        uniform: `(..., 3)` in [0, 1), drawn by the caller.

    Returns:
        `(..., 4)`.
    """
    share, first, second = uniform[..., 0], uniform[..., 1], uniform[..., 2]
    first, second = 2 * np.pi * first, 2 * np.pi * second
    a, b = np.sqrt(1 - share), np.sqrt(share)
    return np.stack(
        [a * np.sin(first), a * np.cos(first), b * np.sin(second), b * np.cos(second)], axis=-1
    )


def _components(q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    return q[..., 0], q[..., 1], q[..., 2], q[..., 3]


def _squared_norm(q: FloatArray) -> FloatArray:
    x, y, z, w = _components(q)
    return x * x + y * y + z * z + w * w


def _rotate(q: FloatArray, w: FloatArray, vector: FloatArray) -> FloatArray:
    """Rotate by the vector part of `q` and the scalar part `w`."""
    x, y, z = q[..., 0], q[..., 1], q[..., 2]
    vx, vy, vz = vector[..., 0], vector[..., 1], vector[..., 2]
    tx, ty, tz = 2 * (y * vz - z * vy), 2 * (z * vx - x * vz), 2 * (x * vy - y * vx)
    return np.stack(
        [
            vx + w * tx + (y * tz - z * ty),
            vy + w * ty + (z * tx - x * tz),
            vz + w * tz + (x * ty - y * tx),
        ],
        axis=-1,
    )


def _wrap(angle: FloatArray) -> FloatArray:
    """Return the same angle in [-pi, pi]."""
    turn = 2 * np.pi
    return angle - turn * np.round(angle / turn)


def _as_floats(*values: float | FloatArray) -> list[FloatArray]:
    """Return arrays of the common dtype, to which Python numbers adapt; integers become float64."""
    dtype = np.result_type(*values)
    if not np.issubdtype(dtype, np.floating):
        dtype = np.dtype(np.float64)
    return [np.asarray(value, dtype) for value in values]
