"""Machine code around the networks: records, Adam's steps, actions; each beside NumPy's."""

import numpy as np
import pytest
from motrix_rl.engine.loss import BETA_1, BETA_2, EPSILON, NORM_EPSILON, adam, adam_scales
from motrix_rl.native.acting import Sample, Scales
from motrix_rl.native.adam import Adam
from motrix_rl.native.calls import Program, zeros
from motrix_rl.native.plan import padded
from motrix_rl.native.records import NUMBERS, Picked, Records
from motrix_rl.rl_module import normaliser

LAYOUTS = {
    "cartpole's": Records(1, {"obs": 4}),
    "more actions than lanes": Records(19, {"obs": 3, "state": 40}),
}
by_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())


@pytest.fixture
def draw():
    rng = np.random.default_rng(1)
    return lambda *shape: rng.normal(size=shape).astype(np.float32)


@by_layout
def test_records_hold_every_column_once(layout, draw):
    samples = {name: draw(7) for name in NUMBERS}
    samples |= {"actions": draw(7, layout.actions)}
    samples |= {name: draw(7, width) for name, width in layout.seen.items()}
    records = layout.pack(samples)
    assert records.shape == (7, layout.width)
    assert np.array_equal(records[:, : layout.actions], samples["actions"])
    for place, name in enumerate(NUMBERS, layout.numbers):
        assert np.array_equal(records[:, place], samples[name])
    for name, view in layout.observations(records).items():
        assert np.array_equal(view, samples[name])
    assert np.count_nonzero(records) == sum(column.size for column in samples.values())


@by_layout
def test_picked_records(layout, draw):
    records, picked = draw(50, layout.width), Picked(layout.width, 30)
    for order in ([3], list(range(49, 19, -1)), [7, 7, 0]):
        picked.look_at(records, np.array(order, np.int32))
        Program(picked.pick).run()
        assert np.array_equal(picked.records[: len(order)], records[order])


@pytest.mark.parametrize("longest", [0.0, 0.5, 1e6])
def test_steps_of_adam(draw, longest):
    size = 3 * padded(1)
    weights, given = zeros(size), draw(size)
    weights[:] = given
    ours = Adam(weights, (BETA_1, BETA_2), (EPSILON, NORM_EPSILON))
    expected, mean, variance = given.astype(np.float64), np.zeros(size), np.zeros(size)
    for step in range(1, 6):
        gradient, scales = draw(size), adam_scales(step, 0.01)
        ours.descend(gradient, scales, longest)
        share = 1.0
        if longest:
            share = min(longest / (np.linalg.norm(gradient.astype(np.float64)) + NORM_EPSILON), 1)
        expected, mean, variance = adam(expected, gradient * share, mean, variance, scales)
        np.testing.assert_allclose(weights, expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(ours.mean, mean, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(ours.variance, variance, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("longest", [0.0, 1.0])
def test_a_gradient_that_is_no_number_is_seen_in_the_weights(longest):
    weights = zeros(padded(1))
    ours = Adam(weights, (BETA_1, BETA_2), (EPSILON, NORM_EPSILON))
    ours.descend(np.full(weights.size, np.nan), (0.1, 1.0), longest)
    assert np.isnan(weights).all()


def test_what_has_no_gradient_stays(draw):
    """Numbers that fill up vectors are weights of nothing, and remain zero."""
    weights, gradient = zeros(2 * padded(1)), np.zeros(2 * padded(1), np.float32)
    gradient[0] = 1
    Adam(weights, (BETA_1, BETA_2), (EPSILON, NORM_EPSILON)).descend(gradient, (0.1, 1.0), 1.0)
    assert weights[0] != 0
    assert not weights[1:].any()


@pytest.mark.parametrize("width", [1, 4, 37])
def test_normalised_as_by_the_module_to_the_bit(draw, width):
    obs, mean, variance = 3 * draw(20, width), draw(width), draw(width) ** 2
    obs[0, 0] = 1e6  # cut off
    x, scales = zeros(20 * padded(width)).reshape(20, -1), Scales(width)
    scales.set(mean, normaliser.deviation(variance))
    call = scales.of(x)
    x[:, :width] = obs
    call.set(rows=20)
    Program(call).run()
    assert np.array_equal(x[:, :width], normaliser.normalise(obs, mean, variance))


@pytest.mark.parametrize("actions", [1, 5, 18])
def test_drawn_actions(draw, actions):
    rows, width = 9, padded(actions)
    means, log_std = zeros(rows * width).reshape(rows, width), zeros(width)
    means[:, :actions], log_std[:actions] = draw(rows, actions), draw(actions)
    log_std[0] = 9.0  # beyond its bound, which is 2
    sample, noise = Sample(means, log_std, actions), draw(rows, actions)
    sample.noise[:] = noise
    sample.draw.set(rows=rows)
    Program(sample.draw).run()
    bounded = np.where(np.arange(actions) == 0, 2.0, log_std[:actions])
    expected = means[:, :actions] + np.exp(bounded) * noise
    np.testing.assert_allclose(sample.drawn, expected, rtol=1e-5, atol=1e-6)
    density = -0.5 * noise**2 - bounded - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(sample.log_probs, density.sum(1), rtol=1e-5)
