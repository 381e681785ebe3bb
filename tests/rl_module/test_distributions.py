"""Distributions in NumPy, against closed forms and counted samples."""

import numpy as np
import pytest
from gymnasium import spaces
from motrix_rl.rl_module import UnsupportedSpaceError
from motrix_rl.rl_module.distributions import (
    Categorical,
    Deterministic,
    DiagGaussian,
    MultiCategorical,
    MultiDistribution,
    NumpyOps,
    SquashedGaussian,
    action_dist_cls,
)

RNG = np.random.default_rng


def test_categorical():
    dist = Categorical(np.log([[0.2, 0.3, 0.5]]))
    np.testing.assert_allclose(dist.probs, [[0.2, 0.3, 0.5]])
    samples = dist.sample(sample_shape=(20_000,), rng=RNG(0))
    np.testing.assert_allclose(np.bincount(samples[:, 0]) / 20_000, [0.2, 0.3, 0.5], atol=0.01)
    np.testing.assert_allclose(dist.logp(np.array([2])), np.log([0.5]))
    np.testing.assert_allclose(dist.entropy(), [1.0297], atol=1e-4)
    other = Categorical(probs=np.array([[0.5, 0.25, 0.25]]))
    expected = sum(p * np.log(p / q) for p, q in ((0.2, 0.5), (0.3, 0.25), (0.5, 0.25)))
    np.testing.assert_allclose(dist.kl(other), [expected])
    assert dist.to_deterministic().sample().tolist() == [2]


def test_categorical_takes_one_kind_of_input():
    with pytest.raises(ValueError, match="either"):
        Categorical()
    with pytest.raises(ValueError, match="either"):
        Categorical(np.zeros(2), probs=np.ones(2) / 2)


def test_impossible_choices_do_not_spoil_the_entropy():
    with np.errstate(divide="ignore", invalid="ignore"):
        dist = Categorical(probs=np.array([0.0, 1.0]))
        assert dist.entropy() == 0.0


def test_gaussian():
    dist = DiagGaussian.from_logits(np.array([[1.0, -2.0, np.log(0.5), 0.0]]))
    np.testing.assert_allclose(dist.scale, [[0.5, 1.0]])
    samples, logp = dist.sample(sample_shape=(40_000,), return_logp=True, rng=RNG(0))
    assert samples.shape == (40_000, 1, 2)
    assert logp.shape == (40_000, 1)
    np.testing.assert_allclose(samples.mean((0, 1)), [1, -2], atol=0.02)
    np.testing.assert_allclose(samples.std((0, 1)), [0.5, 1], atol=0.02)
    np.testing.assert_allclose(logp, dist.logp(samples))
    np.testing.assert_allclose(-logp.mean(), dist.entropy()[0], atol=0.02)
    np.testing.assert_allclose(dist.kl(dist), [0], atol=1e-12)


def test_an_absurd_log_std_gives_no_infinite_sample():
    dist = DiagGaussian.from_logits(np.array([[0.0, 200.0], [0.0, -200.0]]))
    assert np.all(np.isfinite(dist.sample(rng=RNG(0))))
    assert np.all(np.isfinite(dist.entropy()))


def squashed(loc, log_std=0.0, low=-2.0, high=2.0):
    logits = np.array([[loc, log_std]])
    return SquashedGaussian.from_logits(logits, low=np.array([low]), high=np.array([high]))


def test_squashed_deterministic_action_is_squashed():
    action = squashed(3.0).to_deterministic().sample()
    np.testing.assert_allclose(action, 2 * np.tanh([[3.0]]))
    assert squashed(1e9).to_deterministic().sample() <= 2.0


def test_squashed_density_integrates_to_one():
    dist = squashed(0.3, -0.5, -1.0, 3.0)
    x = np.linspace(-1, 3, 200_001)[1:-1]
    density = np.exp(dist.logp(x[:, None, None]))
    np.testing.assert_allclose(density.sum() * (x[1] - x[0]), 1.0, atol=1e-3)


def test_squashed_density_is_finite_where_it_saturates():
    value, logp = squashed(30.0, 2.0).sample(sample_shape=(1000,), return_logp=True, rng=RNG(0))
    assert np.all(np.isfinite(logp))
    assert np.all(np.abs(value) <= 2.0)
    assert np.all(np.isfinite(squashed(0.0).logp(np.array([[[2.0]], [[-2.0]]]))))


def test_squashed_logp_agrees_with_its_samples():
    dist = squashed(0.1, -1.0)
    value, logp = dist.sample(sample_shape=(100,), return_logp=True, rng=RNG(1))
    np.testing.assert_allclose(dist.logp(value), logp, rtol=1e-6)


def test_squashed_has_no_closed_forms_and_wants_bounds():
    for use in (squashed(0.0).entropy, lambda: squashed(0.0).kl(squashed(1.0))):
        with pytest.raises(ValueError, match="closed-form"):
            use()
    with pytest.raises(ValueError, match="finite bounds"):
        squashed(0.0, high=np.inf)


def test_deterministic():
    dist = Deterministic.from_logits(np.array([[1.0, 2.0]]))
    assert dist.sample(sample_shape=(3,)).shape == (3, 1, 2)
    assert dist.logp(dist.sample()).tolist() == [0.0]
    assert dist.to_deterministic() is dist
    for use in (dist.entropy, lambda: dist.kl(dist)):
        with pytest.raises(RuntimeError):
            use()


def test_multi_categorical():
    cls = action_dist_cls(spaces.MultiDiscrete([2, 3]), NumpyOps)
    assert cls.required_input_dim(spaces.MultiDiscrete([2, 3])) == 5
    dist = cls.from_logits(np.log([[0.1, 0.9, 0.2, 0.2, 0.6]]))
    assert dist.to_deterministic().sample().tolist() == [[1, 2]]
    np.testing.assert_allclose(dist.logp(np.array([[1, 2]])), [np.log(0.54)])
    samples = dist.sample(sample_shape=(20_000,), rng=RNG(0))
    assert samples.shape == (20_000, 1, 2)
    np.testing.assert_allclose((samples[:, 0, 1] == 2).mean(), 0.6, atol=0.01)
    parts = [part.entropy() for part in dist.parts]
    np.testing.assert_allclose(dist.entropy(), sum(parts))
    np.testing.assert_allclose(dist.kl(dist), [0], atol=1e-12)


NESTED = spaces.Dict(
    {
        "move": spaces.Box(-1, 1, (2,)),
        "pair": spaces.Tuple([spaces.Discrete(3), spaces.MultiDiscrete([2, 2])]),
    }
)


def test_multi_distribution():
    cls = action_dist_cls(NESTED, NumpyOps)
    assert cls.required_input_dim(NESTED) == 4 + 3 + 4
    dist = cls.from_logits(np.zeros((5, 11)))
    value, logp = dist.sample(return_logp=True, rng=RNG(0))
    assert value["move"].shape == (5, 2)
    assert value["pair"][0].shape == (5,)
    np.testing.assert_allclose(dist.logp(value), logp)
    np.testing.assert_allclose(
        dist.entropy(),
        sum(p.entropy() for p in dist.parts["pair"]) + (dist.parts["move"].entropy()),
    )
    np.testing.assert_allclose(dist.kl(dist), np.zeros(5), atol=1e-12)
    best = dist.to_deterministic()
    assert isinstance(best, MultiDistribution)
    assert best.sample()["pair"][1].tolist() == [[0, 0]] * 5


def test_partial_classes():
    partial = SquashedGaussian.get_partial_dist_cls(low=-1.0)
    whole = partial.get_partial_dist_cls(high=1.0)
    assert whole.from_logits(np.zeros((1, 2))).to_deterministic().sample().tolist() == [[0.0]]
    with pytest.raises(ValueError, match="fixed value for: low"):
        partial.from_logits(np.zeros((1, 2)), low=2.0)
    with pytest.raises(ValueError, match="low"):
        partial.get_partial_dist_cls(low=2.0)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (2, 2)),
        spaces.Box(0, 9, (2,), np.int64),
        spaces.MultiBinary(3),
        spaces.MultiDiscrete([[2, 2]]),
        spaces.Text(3),
        None,
    ],
)
def test_unsupported_spaces(space):
    with pytest.raises(UnsupportedSpaceError):
        action_dist_cls(space, NumpyOps)


def test_squashing_wants_a_bounded_space():
    assert issubclass(
        action_dist_cls(spaces.Box(-1, 1, (1,)), NumpyOps, squash=True), SquashedGaussian
    )
    with pytest.raises(UnsupportedSpaceError, match="finite"):
        action_dist_cls(spaces.Box(-np.inf, 1, (1,)), NumpyOps, squash=True)


@pytest.mark.parametrize("cls", [Categorical, DiagGaussian, MultiCategorical, Deterministic])
def test_a_distribution_refuses_a_foreign_space(cls):
    with pytest.raises(UnsupportedSpaceError):
        cls.required_input_dim(spaces.Text(3))
