"""Rotations behave like rotations: algebra, matrices, angles, dtypes and broadcasting."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from motrix_envs.math import quaternion

IDENTITY = np.array([0.0, 0.0, 0.0, 1.0])

unit_interval = st.floats(0.0, 1.0, exclude_max=True)
angles = st.floats(-math.pi, math.pi)
coordinates = st.floats(-100.0, 100.0)
rotations = st.builds(lambda *uniform: quaternion.random(np.array(uniform)), *3 * [unit_interval])
vectors = st.builds(lambda *xyz: np.array(xyz), *3 * [coordinates])


def close(actual, expected, atol=1e-9):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def same_rotation(a, b, atol=1e-7):
    close(quaternion.rotation_distance(a, b), 0.0, atol)


def batch(n, dtype=np.float64, seed=0):
    """Random rotations `(n, 4)` and vectors `(n, 3)`."""
    generator = np.random.default_rng(seed)
    q = quaternion.random(generator.random((n, 3)).astype(dtype))
    return q, generator.normal(size=(n, 3)).astype(dtype)


# ---- algebra ----


@given(rotations, rotations, rotations)
def test_multiplication_is_associative_with_a_neutral_element(a, b, c):
    left = quaternion.multiply(quaternion.multiply(a, b), c)
    right = quaternion.multiply(a, quaternion.multiply(b, c))
    close(left, right)
    close(quaternion.multiply(a, IDENTITY), a)
    close(quaternion.multiply(IDENTITY, a), a)


def test_the_units_of_hamilton():
    i, j, k, one = np.eye(4)
    close(quaternion.multiply(i, j), k)
    close(quaternion.multiply(j, k), i)
    close(quaternion.multiply(k, i), j)
    close(quaternion.multiply(j, i), -k)
    close(quaternion.multiply(i, i), -one)


@given(rotations, st.floats(0.1, 10.0))
def test_inverse(q, scale):
    close(quaternion.multiply(scale * q, quaternion.inverse(scale * q)), IDENTITY)
    close(quaternion.multiply(quaternion.inverse(scale * q), scale * q), IDENTITY)
    close(quaternion.conjugate(q), quaternion.inverse(q))


@given(rotations, st.floats(1e-6, 1e6))
def test_normalize(q, scale):
    close(quaternion.normalize(scale * q), q)


def test_normalize_zero_is_the_identity():
    q = np.array([[0, 0, 0, 0], [0, 0, 2, 0]], np.float32)
    result = quaternion.normalize(q)
    close(result, [[0, 0, 0, 1], [0, 0, 1, 0]])
    assert result.dtype == np.float32
    close(quaternion.normalize(np.zeros(4)), IDENTITY)
    close(q[0], 0.0)


def test_normalize_keeps_nan_visible_and_in_its_row():
    result = quaternion.normalize(np.array([[np.nan, 0, 0, 1], [0, 0, 0, 2]]))
    assert np.isnan(result[0]).all()
    close(result[1], IDENTITY)


# ---- rotating vectors ----


@given(rotations, rotations, vectors)
def test_composition(a, b, v):
    together = quaternion.rotate_vector(quaternion.multiply(a, b), v)
    close(together, quaternion.rotate_vector(a, quaternion.rotate_vector(b, v)))


@given(rotations, vectors)
def test_rotation_keeps_lengths_and_comes_back(q, v):
    rotated = quaternion.rotate_vector(q, v)
    close(np.linalg.norm(rotated), np.linalg.norm(v))
    close(quaternion.rotate_inverse(q, rotated), v)
    close(quaternion.rotate_inverse(q, v), quaternion.rotate_vector(quaternion.conjugate(q), v))


@given(rotations, vectors)
def test_a_quaternion_and_its_negative_are_one_rotation(q, v):
    close(quaternion.rotate_vector(-q, v), quaternion.rotate_vector(q, v))
    close(quaternion.to_matrix(-q), quaternion.to_matrix(q))
    same_rotation(q, -q)
    close(quaternion.similarity(q, -q), 1.0)


@given(rotations, rotations, vectors)
def test_matrices_agree(a, b, v):
    matrix = quaternion.to_matrix(a)
    close(matrix @ v, quaternion.rotate_vector(a, v))
    close(matrix.T @ v, quaternion.rotate_inverse(a, v))
    close(matrix @ matrix.T, np.eye(3))
    close(np.linalg.det(matrix), 1.0)
    close(matrix @ quaternion.to_matrix(b), quaternion.to_matrix(quaternion.multiply(a, b)))


def test_a_quarter_turn_left():
    q = quaternion.from_angle_axis(math.pi / 2, np.array([0.0, 0.0, 1.0]))
    close(q, [0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)])
    close(quaternion.rotate_vector(q, np.array([1.0, 0.0, 0.0])), [0.0, 1.0, 0.0])
    close(quaternion.rotate_inverse(q, np.array([1.0, 0.0, 0.0])), [0.0, -1.0, 0.0])


# ---- angle and axis ----


@given(angles, vectors, st.floats(0.1, 10.0))
def test_angle_axis(angle, axis, scale):
    assume(np.linalg.norm(axis) > 1e-3)
    q = quaternion.from_angle_axis(angle, axis)
    close(np.linalg.norm(q), 1.0)
    close(quaternion.rotate_vector(q, axis), axis)
    close(quaternion.rotation_distance(IDENTITY, q), abs(angle), 1e-7)
    close(quaternion.from_angle_axis(angle, scale * axis), q)
    close(quaternion.from_angle_axis(-angle, axis), quaternion.conjugate(q))


def test_a_zero_axis_turns_nothing():
    close(quaternion.from_angle_axis(1.0, np.zeros(3)), IDENTITY)
    result = quaternion.from_angle_axis(np.ones(2), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]))
    close(result, [IDENTITY, [0.0, 0.0, math.sin(0.5), math.cos(0.5)]])


# ---- Euler angles ----


@given(angles, st.floats(-math.pi / 2 + 1e-3, math.pi / 2 - 1e-3), angles)
def test_euler_round_trip(roll, pitch, yaw):
    q = quaternion.from_euler(roll, pitch, yaw)
    close(np.linalg.norm(q), 1.0)
    for result, expected in zip(quaternion.to_euler(q), (roll, pitch, yaw), strict=True):
        close(math.remainder(float(result) - expected, 2 * math.pi), 0.0, 1e-9)
    close(math.remainder(float(quaternion.get_yaw(q)) - yaw, 2 * math.pi), 0.0, 1e-9)


@given(rotations)
def test_euler_angles_describe_the_rotation_and_stay_in_range(q):
    roll, pitch, yaw = quaternion.to_euler(q)
    same_rotation(quaternion.from_euler(roll, pitch, yaw), q)
    assert abs(roll) <= math.pi + 1e-12
    assert abs(pitch) <= math.pi / 2 + 1e-12
    assert abs(yaw) <= math.pi + 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sign", [-1, 1])
@given(roll=angles, yaw=angles)
def test_gimbal_lock_still_describes_the_rotation(dtype, sign, roll, yaw):
    q = quaternion.from_euler(roll, sign * math.pi / 2, yaw).astype(dtype)
    euler = quaternion.to_euler(q)
    atol = 1e-7 if dtype == np.float64 else 2e-6
    same_rotation(quaternion.from_euler(*euler), q, atol)
    close(euler[1], sign * math.pi / 2, 1e-3 if dtype == np.float32 else 1e-7)


@given(angles, angles, angles)
def test_euler_order(roll, pitch, yaw):
    x, y, z = np.eye(3)
    turn = quaternion.from_angle_axis
    expected = quaternion.multiply(turn(yaw, z), quaternion.multiply(turn(pitch, y), turn(roll, x)))
    close(quaternion.from_euler(roll, pitch, yaw), expected)


def test_level_in_float32_is_exactly_level():
    q = np.array([0.0, 0.0, 0.0, 1.0], np.float32)
    assert [float(angle) for angle in quaternion.to_euler(q)] == [0.0, 0.0, 0.0]


# ---- distances ----


@given(rotations, rotations, rotations)
def test_distance(a, b, c):
    distance = quaternion.rotation_distance(a, b)
    assert 0.0 <= distance <= math.pi
    close(distance, quaternion.rotation_distance(b, a))
    moved = quaternion.rotation_distance(quaternion.multiply(c, a), quaternion.multiply(c, b))
    close(distance, moved, 1e-6)
    close(quaternion.similarity(a, b), np.cos(distance))


@pytest.mark.parametrize("angle", [1e-6, 1e-3, 1.0, math.pi - 1e-3, math.pi])
def test_distance_is_accurate_at_both_ends(angle):
    q = quaternion.from_angle_axis(angle, np.array([1.0, 2.0, -1.0]))
    base, _ = batch(1)
    close(quaternion.rotation_distance(base[0], quaternion.multiply(base[0], q)), angle, 1e-12)


def test_similarity_never_exceeds_its_range():
    q, _ = batch(1000, np.float32)
    assert quaternion.similarity(q, q).max() <= 1.0
    half_turn = np.array([1, 0, 0, 0], np.float32)
    assert quaternion.similarity(q, quaternion.multiply(q, half_turn)).min() >= -1.0


# ---- random ----


def test_random_is_uniform_over_orientations():
    q, _ = batch(40_000, seed=3)
    close(np.linalg.norm(q, axis=-1), 1.0)
    close(q.mean(axis=0), 0.0, 0.01)
    close(q.T @ q / len(q), np.eye(4) / 4, 0.01)
    # The angle of a uniform rotation has density (1 - cos angle) / pi.
    angle = np.sort(quaternion.rotation_distance(IDENTITY, q))
    expected = (angle - np.sin(angle)) / math.pi
    close(expected, np.arange(len(q)) / len(q), 1.95 / math.sqrt(len(q)))


# ---- arrays ----


def every_result(q, v):
    """Name and value of every function, for a batch of rotations and vectors."""
    angle = v[..., 0]
    euler = quaternion.to_euler(q)
    return {
        "multiply": quaternion.multiply(q, q[::-1] if q.ndim > 1 else q),
        "conjugate": quaternion.conjugate(q),
        "inverse": quaternion.inverse(q),
        "normalize": quaternion.normalize(q),
        "from_euler": quaternion.from_euler(angle, 0.5, v[..., 1]),
        "roll": euler[0],
        "pitch": euler[1],
        "yaw": euler[2],
        "from_angle_axis": quaternion.from_angle_axis(angle, v),
        "rotate_vector": quaternion.rotate_vector(q, v),
        "rotate_inverse": quaternion.rotate_inverse(q, v),
        "similarity": quaternion.similarity(q, q),
        "rotation_distance": quaternion.rotation_distance(q, q),
        "get_yaw": quaternion.get_yaw(q),
        "to_matrix": quaternion.to_matrix(q),
        "random": quaternion.random(np.abs(v) % 1),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0,)])
def test_dtypes_and_shapes(dtype, shape):
    q, v = batch(math.prod(shape), dtype)
    results = every_result(q.reshape(*shape, 4), v.reshape(*shape, 3))
    for name, result in results.items():
        assert result.dtype == dtype, name
        assert result.shape[: len(shape)] == shape, name


def test_python_numbers_make_float64():
    assert quaternion.from_euler(0.0, 0, 1).dtype == np.float64
    assert quaternion.from_angle_axis(1, np.array([0, 0, 1])).dtype == np.float64


def test_broadcasting():
    q, v = batch(6)
    rows, columns = q[:, None], v[None, :4]
    grid = quaternion.rotate_vector(rows, columns)
    assert grid.shape == (6, 4, 3)
    close(grid[2, 3], quaternion.rotate_vector(q[2], v[3]))
    close(quaternion.rotate_inverse(q, v[0])[5], quaternion.rotate_inverse(q[5], v[0]))
    assert quaternion.multiply(rows, q[None]).shape == (6, 6, 4)
    assert quaternion.similarity(rows, q[None]).shape == (6, 6)
    assert quaternion.rotation_distance(q, IDENTITY).shape == (6,)
    assert quaternion.from_euler(0.0, 0.0, v[:, 0]).shape == (6, 4)
    assert quaternion.from_angle_axis(v[:, 0], v[0]).shape == (6, 4)
    assert quaternion.from_angle_axis(0.3, v).shape == (6, 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_do_not_depend_on_the_batch(dtype):
    q, v = batch(512, dtype)
    unpaired = every_result(q, v)
    unpaired.pop("multiply")  # pairs rows on purpose, in `every_result`
    for n in (1, 3, 17):
        for name, expected in unpaired.items():
            np.testing.assert_array_equal(every_result(q[:n], v[:n])[name], expected[:n], name)
