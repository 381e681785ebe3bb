"""Tolerance: 1 inside, a stretched curve outside."""

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motrix_envs.errors import ConfigError
from motrix_envs.np.reward import SigmoidKind, tolerance

KINDS = get_args(SigmoidKind)
REACH_ZERO = ("cosine", "linear", "quadratic")

every_kind = pytest.mark.parametrize("kind", KINDS)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def formula(kind, z, v):
    """The published formulas, one number at a time, z = distance / margin."""
    match kind:
        case "gaussian":
            return math.exp(-(z**2) * math.log(1 / v))
        case "hyperbolic":
            return 1 / math.cosh(z * math.acosh(1 / v))
        case "long_tail":
            return 1 / (1 + z**2 * (1 / v - 1))
        case "reciprocal":
            return 1 / (1 + abs(z) * (1 / v - 1))
        case "cosine":
            scaled = z * math.acos(2 * v - 1) / math.pi
            return (1 + math.cos(math.pi * scaled)) / 2 if abs(scaled) < 1 else 0.0
        case "linear":
            return max(1 - z * (1 - v), 0.0)
        case "quadratic":
            return max(1 - z**2 * (1 - v), 0.0)
        case "tanh_squared":
            return 1 - math.tanh(z * math.atanh(math.sqrt(1 - v))) ** 2
    raise AssertionError(kind)


@every_kind
@both_dtypes
def test_one_inside(kind, dtype):
    x = np.array([-1.0, -0.3, 0.0, 2.0], dtype)
    np.testing.assert_array_equal(tolerance(x, (-1.0, 2.0), 0.5, kind), 1.0)
    np.testing.assert_array_equal(tolerance(x, (-1.0, 2.0)), 1.0)


@every_kind
@both_dtypes
@pytest.mark.parametrize("value", [0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("margin", [1e-3, 0.7, 40.0])
def test_the_value_at_the_margin(kind, dtype, value, margin):
    x = np.array([-margin, margin], dtype)
    result = tolerance(x, margin=margin, sigmoid=kind, value_at_margin=value)
    np.testing.assert_allclose(result, value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", REACH_ZERO)
@both_dtypes
def test_zero_at_the_margin(kind, dtype):
    x = np.array([-3.0, -0.5, 0.5, 3.0], dtype)
    result = tolerance(x, margin=0.5, sigmoid=kind, value_at_margin=0.0)
    np.testing.assert_allclose(result, 0.0, atol=1e-6)
    assert result.min() == 0.0


@every_kind
@given(z=st.floats(0, 20), v=st.floats(0.001, 0.999))
def test_the_published_formulas(kind, z, v):
    result = tolerance(3.0 + 2.0 * z, (1.0, 3.0), 2.0, kind, v)
    assert float(result) == pytest.approx(formula(kind, z, v), abs=1e-9)


@every_kind
@given(x=st.floats(-1e6, 1e6), margin=st.floats(1e-6, 1e6), v=st.floats(0.001, 0.999))
def test_symmetric_and_between_zero_and_one(kind, x, margin, v):
    right, left = tolerance(np.array([x, -x]), (-2.0, 2.0), margin, kind, v)
    assert right == left
    assert 0.0 <= right <= 1.0


@every_kind
@both_dtypes
def test_monotone(kind, dtype):
    x = np.linspace(0, 30, 5001, dtype=dtype)
    result = tolerance(x, margin=1.5, sigmoid=kind)
    assert np.all(np.diff(result) <= 2 * np.finfo(dtype).eps)
    assert result[0] == 1.0
    assert result[-1] < 0.1


@both_dtypes
def test_hard_edge(dtype):
    above = np.nextafter(dtype(2.0), dtype(3.0))
    below = np.nextafter(dtype(-1.0), dtype(-2.0))
    x = np.array([-np.inf, below, -1.0, 2.0, above, np.inf, np.nan], dtype)
    result = tolerance(x, (-1.0, 2.0))
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, [0, 0, 1, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("given_dtype", "dtype"),
    [
        *[(np.float16, np.float16), (np.float32, np.float32), (np.float64, np.float64)],
        *[(np.int32, np.float64), (np.uint8, np.float64), (np.bool_, np.float64)],
    ],
)
@pytest.mark.parametrize("margin", [0.0, 1.0, np.float64(1.0)])
def test_dtypes(given_dtype, dtype, margin):
    for kind in KINDS:
        result = tolerance(np.ones(3, given_dtype), (np.float64(0.0), 0.5), margin, kind)
        assert result.dtype == dtype


@every_kind
@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_shapes(kind, margin):
    assert tolerance(1.0, margin=margin, sigmoid=kind).shape == ()
    assert tolerance([[1.0, 2.0]], margin=margin, sigmoid=kind).shape == (1, 2)
    assert tolerance(np.empty((0, 3)), margin=margin, sigmoid=kind).shape == (0, 3)
    single = tolerance(0.7, margin=1.0, sigmoid=kind)
    assert float(single) == tolerance(np.array([0.7]), margin=1.0, sigmoid=kind)[0]


def test_the_argument_is_left_alone():
    x = np.linspace(-3, 3, 7)
    before = x.copy()
    tolerance(x, margin=1.0)
    np.testing.assert_array_equal(x, before)


@every_kind
@both_dtypes
@pytest.mark.parametrize("margin", [5e-324, 1e-30, 1.0, 1e300])
def test_far_away_and_without_warnings(kind, dtype, margin):
    largest = np.finfo(dtype).max
    x = np.array([-np.inf, -largest, 0.0, largest, np.inf, np.nan], dtype)
    result = tolerance(x, margin=margin, sigmoid=kind)
    assert result[2] == 1.0
    assert result[0] == result[4] == 0.0
    assert result[1] == result[3]
    assert np.isnan(result[5])


@every_kind
@pytest.mark.parametrize("value", [5e-324, 1e-17, 1 - 1.2e-16])
def test_extreme_values_at_the_margin(kind, value):
    result = tolerance(np.array([0.0, 1.0]), margin=1.0, sigmoid=kind, value_at_margin=value)
    assert result[0] == 1.0
    assert result[1] == pytest.approx(value, abs=1e-7)


@every_kind
@pytest.mark.parametrize("margin", [0.0, 2.0])
def test_infinite_bounds(kind, margin):
    x = np.array([-np.inf, -1e30, 0.0, 1.0, 1e30, np.inf])
    at_least = tolerance(x, (1.0, np.inf), margin, kind)
    at_most = tolerance(-x, (-np.inf, -1.0), margin, kind)
    np.testing.assert_array_equal(at_least, at_most)
    np.testing.assert_array_equal(at_least[3:], 1.0)
    assert at_least[0] == 0.0
    assert at_least[2] < 1.0
    np.testing.assert_array_equal(tolerance(x, (-np.inf, np.inf), margin, kind), 1.0)


@every_kind
def test_rows_do_not_depend_on_the_batch(kind):
    x = np.random.default_rng(0).normal(size=512).astype(np.float32)
    together = tolerance(x, (-0.1, 0.2), 0.6, kind)
    for n in (1, 3, 17):
        np.testing.assert_array_equal(tolerance(x[:n], (-0.1, 0.2), 0.6, kind), together[:n])


# ---- errors ----


@pytest.mark.parametrize(
    "bounds", [(1.0, 0.0), (np.nan, 1.0), (0.0, np.nan), (np.inf, np.inf), (-np.inf, -np.inf)]
)
def test_impossible_bounds(bounds):
    with pytest.raises(ConfigError, match="bounds must be"):
        tolerance(0.0, bounds)


@pytest.mark.parametrize("margin", [-1.0, np.inf, np.nan])
def test_impossible_margins(margin):
    with pytest.raises(ConfigError, match="margin must be finite and not negative"):
        tolerance(0.0, margin=margin)


@every_kind
@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5, np.nan])
def test_impossible_values_at_the_margin(kind, value):
    with pytest.raises(ConfigError, match=f"value_at_margin of '{kind}' must lie in"):
        tolerance(0.0, margin=1.0, sigmoid=kind, value_at_margin=value)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(REACH_ZERO)))
def test_only_curves_that_reach_zero_may_be_zero_at_the_margin(kind):
    with pytest.raises(ConfigError, match=r"must lie in \(0, 1\), got 0.0"):
        tolerance(0.0, margin=1.0, sigmoid=kind, value_at_margin=0.0)


@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_an_unknown_kind_names_the_known_ones(margin):
    with pytest.raises(ConfigError, match="no sigmoid named 'gausian'") as error:
        tolerance(0.0, margin=margin, sigmoid="gausian")
    assert "Did you mean 'gaussian'?" in str(error.value)
    assert all(kind in str(error.value) for kind in KINDS)
