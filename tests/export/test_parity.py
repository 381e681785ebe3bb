"""The comparison finds every difference that matters, and no other."""

import numpy as np
import pytest
from gymnasium import spaces
from motrix_rl.export import ExportError
from motrix_rl.export.parity import TOLERANCE, compare, observations
from motrix_rl.export.signature import Signature
from motrix_rl.rl_module import PPONumpyRLModule, RLModule
from motrix_rl.rl_module.distributions import Deterministic
from motrix_rl.rl_module.numpy_module import run_mlp

from .conftest import CASES, FLAT, FREE, IMAGE, build


def signature_of(module):
    return Signature.of(module, observations(module.observation_space, 2))


def acting(module):
    """Return what an exported file of a stateless module would compute."""
    return lambda inputs: [module.act(inputs[0])[0]]


def check(module, function):
    return compare(module, function, signature_of(module))


def perturbed(name, path, size):
    module = build(PPONumpyRLModule, name)
    state = module.get_state()
    branch = state
    for key in path[:-1]:
        branch = branch[key]
    branch[path[-1]].flat[0] += size
    module.set_state(state)
    return module


def test_the_module_itself_agrees():
    module = build(PPONumpyRLModule, "ppo")
    agreement = check(module, acting(module))
    assert agreement.observations > 128
    assert (agreement.difference, agreement.unstable) == (0.0, 0)


@pytest.mark.parametrize(
    ("path", "size"),
    [
        (("pi", "out", "bias"), 1e-3),
        (("pi", "out", "kernel"), 1e-3),
        (("encoder", "actor", "0", "kernel"), 1e-3),
        (("normalizer", "mean"), 1e-3),
        (("normalizer", "variance"), 1e-2),
    ],
)
def test_a_changed_number_is_found(path, size):
    module = build(PPONumpyRLModule, "ppo")
    with pytest.raises(ExportError, match=r"actions differs by .* is allowed"):
        check(module, acting(perturbed("ppo", path, size)))


def test_a_difference_below_the_tolerance_passes_and_is_told():
    module = build(PPONumpyRLModule, "ppo")
    agreement = check(module, lambda x: [module.act(x[0])[0] + np.float32(4e-6)])
    assert 3e-6 < agreement.difference < TOLERANCE


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a: np.arctanh(a.clip(-0.9, 0.9)),  # without bounds
        lambda a: -a,
        lambda a: a[:, ::-1],
        lambda a: np.where(np.arange(len(a))[:, None] == 16, a + 1e-3, a),  # one row of 17
        lambda a: np.full_like(a, np.nan),
        lambda a: np.full_like(a, np.inf),
    ],
)
def test_wrong_values_are_found(wrong):
    module = build(PPONumpyRLModule, "ppo")
    with pytest.raises(ExportError, match="does not do what the module does"):
        check(module, lambda x: [wrong(module.act(x[0])[0])])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a: [a.astype(np.float64)], r"actions of the file is float64\[1, 3\]"),
        (lambda a: [a[:, :2]], r"float32\[1, 2\]"),
        (lambda a: [a, a], "2 tensors instead of 1"),
        (lambda a: [a[:1]], r"float32\[1, 3\], the module gives float32\[3, 3\]"),
    ],
)
def test_wrong_kinds_are_found(wrong, says):
    module = build(PPONumpyRLModule, "ppo")
    with pytest.raises(ExportError, match=says):
        check(module, lambda x: wrong(module.act(x[0])[0]))


def test_a_file_that_takes_one_row_only_is_found():
    module = build(PPONumpyRLModule, "ppo")

    def function(inputs):
        if len(inputs[0]) > 1:
            raise ValueError("got 3 expected 1")
        return [module.act(inputs[0])[0]]

    with pytest.raises(ExportError, match="cannot run 3 rows: got 3 expected 1"):
        check(module, function)


def test_integers_have_no_tolerance():
    space = spaces.Discrete(4, start=10_000_000)
    module = PPONumpyRLModule(
        observation_space=FLAT, action_space=space, model_config={"hidden": [4], "seed": 1}
    )
    check(module, acting(module))
    with pytest.raises(ExportError, match=r"differs by [123],"):
        check(module, lambda x: [10_000_000 + (module.act(x[0])[0] + 1) % 4])


def in_float64(module):
    """Return what a network computes, with more digits."""
    encoder, head = (module._configs[name] for name in ("encoder.shared", "pi"))
    wide = {path: array.astype(np.float64) for path, array in module._arrays.items()}

    def below(name):
        return {p.removeprefix(name): x for p, x in wide.items() if p.startswith(name)}

    def function(inputs):
        features = run_mlp(encoder, below("encoder/shared/"), inputs[0].astype(np.float64))
        return [run_mlp(head, below("pi/"), features)[:, :3].astype(np.float32)]

    return function


def test_rounding_where_the_module_is_unstable_is_excused():
    """Without bounds and normaliser, actions are differences of numbers around a million."""
    module = PPONumpyRLModule(
        observation_space=FLAT,
        action_space=FREE,
        model_config={"hidden": [256, 256], "fcnet_activation": "relu", "seed": 1},
    )
    right = in_float64(module)
    agreement = compare(module, right, signature_of(module), rows=2000)
    assert agreement.unstable > 0
    assert agreement.difference <= TOLERANCE
    with pytest.raises(ExportError, match="differs"):
        check(module, lambda x: [right(x)[0] * np.float32(1.0001)])


class Counter(RLModule):
    """A policy with a memory that does not start at zero."""

    def get_initial_state(self):
        return {"steps": np.full(1, 7, np.float32)}

    def get_inference_action_dist_cls(self):
        return Deterministic

    def _forward_inference(self, batch, **kwargs):
        steps = batch["state_in"]["steps"]
        return {
            "action_dist_inputs": batch["obs"][:, :3] + steps,
            "state_out": {"steps": steps + np.float32(1)},
        }

    _forward_exploration = _forward_train = _forward_inference


def test_memory():
    module = Counter(observation_space=FLAT, action_space=FREE)
    signature = signature_of(module)
    assert signature.to_dict()["inputs"][1]["initial"] == [7.0]
    assert compare(module, lambda x: [x[0][:, :3] + x[1], x[1] + np.float32(1)], signature)
    for wrong in (
        lambda x: [x[0][:, :3] + np.float32(7), x[1] + np.float32(1)],  # right in the first step
        lambda x: [x[0][:, :3] + x[1], x[1]],
    ):
        with pytest.raises(ExportError, match="differs"):
            compare(module, wrong, signature)


def test_a_state_that_changes_its_kind_is_refused():
    class Forgetful(Counter):
        def _forward_inference(self, batch, **kwargs):
            return {**super()._forward_inference(batch), "state_out": {}}

    with pytest.raises(ExportError, match=r"state_in\.steps"):
        signature_of(Forgetful(observation_space=FLAT, action_space=FREE))


def test_observations_hold_the_extremes():
    drawn = observations(FLAT, 100)
    assert drawn.dtype == np.float32
    for value in (0.0, 1e-40, 1e6, -1e6):
        assert (drawn == np.float32(value)).all(1).any()
    assert ((np.abs(drawn) == 1e6).sum(1) == 1).any(), "alone, too"
    np.testing.assert_array_equal(drawn, observations(FLAT, 100))
    endless = spaces.Box(*(np.finfo(np.float32).max * np.array([-1, 1], np.float32)), (5,))
    assert np.abs(observations(endless, 10)).max() <= 1e6, "more would overflow in any network"
    images = observations(IMAGE, 10)
    assert images.dtype == np.uint8
    assert (images == 0).all((1, 2, 3)).any()
    assert (images == 255).all((1, 2, 3)).any()
    assert images[5:].std() > 60


def test_observations_of_other_spaces():
    space = spaces.Dict({"a": FLAT, "b": spaces.Tuple([spaces.Discrete(3, start=4)])})
    space.seed(1)
    before = space["b"][0].np_random.bit_generator.state
    drawn = observations(space, 20)
    assert space["b"][0].np_random.bit_generator.state == before
    assert len(drawn["a"]) == len(drawn["b"][0]) > 20
    assert set(drawn["b"][0]) == {4, 5, 6}
    with pytest.raises(ExportError, match="no observation space"):
        observations(None, 3)


def test_batches_of_several_sizes_are_compared():
    sizes = []
    module = build(PPONumpyRLModule, "ppo")

    def function(inputs):
        sizes.append(len(inputs[0]))
        return [module.act(inputs[0])[0]]

    agreement = check(module, function)
    assert sizes[:3] == [1, 3, 17]
    assert sum(sizes) == agreement.observations == len(observations(CASES["ppo"][0], 128))
