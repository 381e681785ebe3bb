"""RLModule itself: construction, specs, state, deprecated names, view requirements."""

import inspect

import numpy as np
import pytest
from gymnasium import spaces
from motrix_rl.rl_module import (
    DEFAULT_MODULE_ID,
    Columns,
    InferenceOnlyAPI,
    PPOCatalog,
    PPONumpyRLModule,
    RLModule,
    RLModuleConfig,
    SpecCheckingError,
    StateMismatchError,
    TargetNetworkAPI,
    ViewRequirement,
)
from motrix_rl.rl_module.acting import clip
from motrix_rl.rl_module.distributions import Deterministic

OBS, ACT = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)
CONFIG = RLModuleConfig(OBS, ACT)


class Plain(RLModule):
    """Adds a number; the smallest module there is."""

    def setup(self):
        self.weights = {"w": np.ones(2), "part": {"count": np.array(2**40)}}

    def _own_state(self):
        return self.weights

    def _take_state(self, state):
        self.weights = state

    def _forward_inference(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: batch["obs"], **kwargs}

    _forward_exploration = _forward_inference

    def _forward_train(self, batch, **kwargs):
        return {}


BATCH = {"obs": np.zeros((2, 3))}

# Construction


def test_both_constructor_styles():
    by_keyword = Plain(observation_space=OBS, action_space=ACT, model_config={"a": 1})
    assert by_keyword.config == RLModuleConfig(OBS, ACT, model_config_dict={"a": 1})
    by_config = Plain(by_keyword.config)
    assert by_config.config is by_keyword.config
    assert by_config.observation_space == OBS
    assert by_config.model_config == {"a": 1}
    with pytest.raises(TypeError, match="not both"):
        Plain(CONFIG, action_space=ACT)


def test_a_catalog_comes_with_its_class():
    assert isinstance(Plain(RLModuleConfig(OBS, ACT, catalog_class=PPOCatalog)).catalog, PPOCatalog)
    assert Plain(CONFIG).catalog is None


def test_order_of_construction():
    events = []

    class Middle(Plain):
        def __init__(self, config, extra=1):
            events.append("middle begins")
            super().__init__(config)
            events.append("middle ends")

        def setup(self):
            events.append("setup")

        def __post_init__(self):
            super().__post_init__()
            events.append("post init")

    class Silent(Middle):
        pass

    class Outer(Silent):
        def __init__(self, config, *, flag: bool = False):
            super().__init__(config)
            events.append("outer ends")

    Outer(CONFIG)
    assert events == ["middle begins", "setup", "middle ends", "outer ends", "post init"]
    events.clear()
    Silent(CONFIG)
    assert events == ["middle begins", "setup", "middle ends", "post init"]
    assert str(inspect.signature(Outer)) == "(config, *, flag: bool = False)"
    assert "observation_space" in inspect.signature(Plain).parameters


def test_a_failing_constructor_leaves_no_hook_behind():
    class Failing(Plain):
        def setup(self):
            raise KeyError("broken")

        def __post_init__(self):
            raise AssertionError("must not run")

    with pytest.raises(KeyError, match="broken"):
        Failing(CONFIG)


def test_subclass_arguments_reach_other_bases():
    seen = {}

    class Registering:
        def __init_subclass__(cls, **kwargs):
            seen.update(kwargs)
            super().__init_subclass__()

    class Named(Plain, Registering, name="n"):
        pass

    assert seen == {"name": "n"}


def test_setup_runs_once():
    class Twice(Plain):
        def __init__(self, config):
            super().__init__(config)
            RLModule.__init__(self, config)

    with pytest.raises(RuntimeError, match="twice"):
        Twice(CONFIG)


def test_defaults():
    module = Plain(CONFIG)
    assert module.get_initial_state() == {}
    assert not module.is_stateful()
    assert module.unwrapped() is module
    for phase in ("train", "exploration", "inference"):
        assert getattr(module, f"input_specs_{phase}")() == ["obs"]
        assert getattr(module, f"_input_specs_{phase}") == {"obs": None}
        with pytest.raises(NotImplementedError):
            getattr(module, f"get_{phase}_action_dist_cls")()
    assert module.output_specs_inference() == ["action_dist_inputs"]
    assert module.output_specs_train() == {}
    assert module.get_ctor_args_and_kwargs() == ((module.config,), {})


def test_an_initial_state_has_to_be_a_dict():
    class Listed(Plain):
        def get_initial_state(self):
            return [1]

    with pytest.raises(TypeError, match="a list"):
        Listed(CONFIG).is_stateful()


# Forward passes


def test_forwards_check_and_pass_on():
    module = Plain(CONFIG)
    assert module.forward_inference(BATCH, more=1)["more"] == 1
    with pytest.raises(SpecCheckingError, match="obs is missing"):
        module.forward_exploration({})
    assert module.forward_train(BATCH) == {}
    with pytest.raises(RuntimeError, match="inference only"):
        Plain(RLModuleConfig(OBS, ACT, inference_only=True)).forward_train(BATCH)


# State


def test_state_keeps_types_and_picks_components():
    module = Plain(CONFIG)
    state = module.get_state()
    assert state["part"]["count"].dtype == np.int64
    assert state["part"]["count"].shape == ()
    assert set(module.get_state("part")) == {"part"}
    assert set(module.get_state(["w", "part/count"])) == {"w", "part"}
    assert set(module.get_state(not_components="part/count")) == {"w"}
    assert set(module.get_state(not_components=[])) == {"w", "part"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"more": np.ones(1)}, "unexpected: more"),
        ({"w": np.ones(3)}, r"misshapen: w \(expected float64\[2\], found float64\[3\]\)"),
        ({"w": np.ones(2, np.float32)}, "misshapen: w"),
        ({"part": {}}, "missing: part/count; unexpected: part"),
        ({"part": {"renamed": np.array(2**40)}}, "missing: part/count; unexpected: part/renamed"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(change, found):
    module = Plain(CONFIG)
    before = module.get_state()
    with pytest.raises(StateMismatchError, match=found):
        module.set_state({"w": np.zeros(2), **module.get_state("part"), **change})
    assert module.get_state()["w"].tolist() == before["w"].tolist() == [1, 1]


def test_loading_what_fits_tells_what_did_not():
    module = Plain(CONFIG)
    report = module.set_state({"w": np.zeros(2), "more": np.ones(1)}, strict=False)
    assert report.missing == ("part/count",)
    assert report.unexpected == ("more",)
    assert module.get_state()["w"].tolist() == [0, 0]
    assert module.get_state()["part"]["count"] == 2**40


# Parts that acting does not need


class Parts(Plain, InferenceOnlyAPI):
    class Branch:
        pass

    def setup(self):
        super().setup()
        self.encoder = self.Branch()
        self.encoder.critic, self.encoder.actor, self.vf = "critic", "actor", "vf"

    def get_non_inference_attributes(self):
        return ["vf", "encoder.critic"]


def test_inference_only_deletes_nested_parts():
    module = Parts(RLModuleConfig(OBS, ACT, inference_only=True))
    assert not hasattr(module, "vf")
    assert not hasattr(module.encoder, "critic")
    assert module.encoder.actor == "actor"
    assert hasattr(Parts(CONFIG), "vf")


def test_for_inference_is_a_smaller_copy():
    options = {"hidden": [4], "vf_share_layers": False}
    module = PPONumpyRLModule(
        observation_space=OBS, action_space=ACT, model_config={**options, "seed": 1}
    )
    acting, obs = module.for_inference(), np.ones((2, 3), np.float32)
    assert acting.inference_only
    assert set(acting.get_state()["encoder"]) == {"actor"}
    assert acting.act(obs)[0].tolist() == module.act(obs)[0].tolist()
    assert not module.inference_only
    assert "vf" in module.get_state()
    assert acting.for_inference() is acting
    plain = Plain(CONFIG)
    assert plain.for_inference() is plain


# View requirements


class Remembering(Plain):
    def get_initial_state(self):
        return {"h": np.zeros((1, 5), np.float32)}


def test_view_requirements():
    assert Plain(CONFIG).update_default_view_requirements({}) == {}
    options = {"max_seq_len": 7, "lstm_use_prev_action": True, "lstm_use_prev_reward": False}
    module = Remembering(RLModuleConfig(OBS, ACT, model_config_dict=options))
    views = module.update_default_view_requirements({"obs": ViewRequirement()})
    assert set(views) == {"obs", "state_in", "state_out", "prev_actions"}
    view = views["state_in"]
    assert (view.data_col, view.shift, view.batch_repeat_value) == ("state_out", -1, 7)
    assert view.space["h"].shape == (1, 5)
    assert not views["state_out"].used_for_compute_actions
    assert set(Remembering(CONFIG).update_default_view_requirements({})) == {
        "state_in",
        "state_out",
    }


# Relatives


def test_as_multi_shares_the_module():
    module = Plain(CONFIG)
    multi = module.as_multi_rl_module()
    assert multi[DEFAULT_MODULE_ID] is module


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("as_multi_agent", "as_multi_rl_module"),
        ("save_state", "save_to_path"),
        ("load_state", "restore_from_path"),
        ("save_to_checkpoint", "save_to_path"),
    ],
)
def test_old_names_answer_with_the_new_ones(old, new):
    with pytest.raises(ValueError, match=new):
        getattr(Plain(CONFIG), old)("anything")


def test_target_networks():
    class Slow(Plain, TargetNetworkAPI):
        def make_target_networks(self):
            self.target = dict(self.weights)

        def get_target_network_pairs(self):
            return [(self.weights, self.target)]

        def forward_target(self, batch):
            return {}

    module = Slow(CONFIG)
    module.make_target_networks()
    assert module.get_target_network_pairs() == [(module.weights, module.target)]


# Acting


def test_numpy_module_acts_alone():
    module = PPONumpyRLModule(
        observation_space=spaces.Box(-1, 1, (3,), np.float64),
        action_space=spaces.Box(-0.1, 0.2, (2,)),
        model_config={"hidden": [4], "seed": 1},
    )
    obs = np.full((5, 3), 100.0)
    action, state = module.act(obs)
    assert action.shape == (5, 2)
    assert action.dtype == np.float32
    assert state == {}
    assert np.all((action >= np.float32(-0.1)) & (action <= np.float32(0.2)))
    one, two = (
        module.act(obs, deterministic=False, rng=np.random.default_rng(3))[0] for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)


def test_actions_start_where_their_space_does():
    module = PPONumpyRLModule(
        observation_space=OBS,
        action_space=spaces.Discrete(2, start=7),
        model_config={"hidden": [4], "seed": 1},
    )
    assert set(module.act(np.random.default_rng(0).normal(size=(50, 3)))[0].tolist()) <= {7, 8}


def test_clipping_keeps_the_digits_of_bounds():
    wide = spaces.Box(np.array([0.1, -1]), np.array([0.2, np.inf]), dtype=np.float64)
    found = clip(np.array([[0, 1e30], [1, -2]], np.float32), wide)
    assert found.dtype == np.float64
    assert found.tolist() == [[0.1, np.float32(1e30)], [0.2, -1]]
    whole = clip(np.array([[1.7, 9, -3]], np.float32), spaces.Box(0, 5, (3,), np.int64))
    assert (whole.dtype, whole.tolist()) == (np.int64, [[1, 5, 0]])


class Watching(Plain):
    """Nested observations, and a memory."""

    def get_initial_state(self):
        return {"h": np.zeros(1, np.float32)}

    def get_inference_action_dist_cls(self):
        return Deterministic

    def _forward_inference(self, batch, **kwargs):
        state = {"h": batch["state_in"]["h"] + 1}
        return {"action_dist_inputs": batch["obs"]["eye"] + state["h"], "state_out": state}


def test_nested_observations_with_a_memory():
    eye = spaces.Dict({"ear": OBS, "eye": OBS})
    module = Watching(observation_space=eye, action_space=spaces.Box(-9, 9, (3,)))
    obs = {"ear": np.zeros((5, 3)), "eye": np.zeros((5, 3))}
    _, state = module.act(obs)
    actions, state = module.act(obs, state)
    assert state["h"].tolist() == [[2]] * 5
    assert actions.tolist() == [[2] * 3] * 5


def test_numpy_runs_mlps_only():
    with pytest.raises(ValueError, match="MLPs only"):
        PPONumpyRLModule(observation_space=OBS, action_space=ACT, model_config={"use_lstm": True})


# To disk


class Stateless(Plain):
    def setup(self):
        self.weights = {}


def test_a_plain_module_can_be_saved(tmp_path):
    path = Stateless(CONFIG).save_to_path(tmp_path / "m")
    again = Stateless.from_checkpoint(path)
    assert again.config == CONFIG
    assert again.get_state() == {}


def test_changed_arguments_reach_the_config(tmp_path):
    path = Plain(CONFIG).save_to_path(tmp_path / "m")
    again = Plain.from_checkpoint(path, inference_only=True, model_config={"a": 1})
    assert again.config == RLModuleConfig(OBS, ACT, True, model_config_dict={"a": 1})
    with pytest.raises(TypeError, match="colour"):
        Plain.from_checkpoint(path, colour="red")
