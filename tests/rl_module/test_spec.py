"""RLModuleSpec and RLModuleConfig: the seed's behaviour, its docstring where both differ."""

import inspect

import pytest
from gymnasium import spaces
from motrix_envs.errors import ConfigError
from motrix_rl.rl_module import (
    DEFAULT_MODULE_ID,
    Catalog,
    MultiRLModuleSpec,
    PPOCatalog,
    PPONumpyRLModule,
    RLModuleConfig,
    RLModuleSpec,
    StateMismatchError,
)

OBS, ACT = spaces.Box(-1, 1, (4,)), spaces.Discrete(2)
FULL = {
    "module_class": PPONumpyRLModule,
    "observation_space": OBS,
    "action_space": ACT,
    "model_config_dict": {"hidden": [4]},
    "catalog_class": PPOCatalog,
}


def test_fields_and_defaults():
    spec = RLModuleSpec()
    assert [spec.inference_only, spec.learner_only] == [False, False]
    names = list(inspect.signature(RLModuleSpec).parameters)
    assert names[:8] == [
        *("module_class", "observation_space", "action_space", "inference_only", "learner_only"),
        *("model_config_dict", "catalog_class", "load_state_path"),
    ]
    assert RLModuleSpec("any", "thing", model_config_dict="goes").module_class == "any"


def test_config_of_a_spec():
    config = RLModuleSpec(**FULL, load_state_path="/x").get_rl_module_config()
    assert config == RLModuleConfig(OBS, ACT, False, False, {"hidden": [4]}, PPOCatalog)
    assert RLModuleSpec().get_rl_module_config().model_config_dict == {}


@pytest.mark.parametrize("missing", ["module_class", "observation_space", "action_space"])
def test_build_wants_class_and_spaces(missing):
    with pytest.raises(ValueError, match=missing):
        RLModuleSpec(**{**FULL, missing: None}).build()


def test_build_refuses_both_flags():
    with pytest.raises(ValueError, match="exclude each other"):
        RLModuleSpec(**FULL, inference_only=True, learner_only=True).build()
    with pytest.raises(ValueError, match="exclude each other"):
        PPONumpyRLModule(
            observation_space=OBS, action_space=ACT, inference_only=True, learner_only=True
        )


def test_build_passes_a_typo_in_setup_on():
    class Typo(PPONumpyRLModule):
        def setup(self):
            self.sets_nothing()

    with pytest.raises(AttributeError, match="sets_nothing"):
        RLModuleSpec(**{**FULL, "module_class": Typo}).build()


def test_build_and_back():
    spec = RLModuleSpec(**FULL)
    assert RLModuleSpec.from_module(spec.build()) == spec
    with pytest.raises(ValueError, match="MultiRLModule"):
        RLModuleSpec.from_module(spec.build().as_multi_rl_module())


def test_load_state_path_is_honoured(tmp_path):
    saved = RLModuleSpec(**FULL).build()
    path = saved.save_to_path(tmp_path / "m")
    spec = RLModuleSpec(**FULL, load_state_path=path)
    loaded, fresh = spec.build(load=True), spec.build()
    assert not saved._compare(loaded.get_state())
    assert loaded.get_state()["pi"]["out"]["kernel"].tolist() == (
        saved.get_state()["pi"]["out"]["kernel"].tolist()
    )
    assert fresh.get_state()["pi"]["out"]["kernel"].tolist() != (
        saved.get_state()["pi"]["out"]["kernel"].tolist()
    )
    other = RLModuleSpec(**{**FULL, "model_config_dict": {"hidden": [5]}}, load_state_path=path)
    with pytest.raises(StateMismatchError):
        other.build(load=True)


def test_update_overrides_what_is_set():
    spec = RLModuleSpec(**FULL, learner_only=True)
    spec.update(RLModuleSpec(observation_space=spaces.Tuple([]), model_config_dict={}))
    assert spec.observation_space == spaces.Tuple([])  # falsy, but set
    assert spec.model_config_dict == {}
    assert spec.module_class is PPONumpyRLModule
    assert spec.learner_only is False  # only if both have it
    spec.update(RLModuleSpec(inference_only=True))
    assert spec.inference_only is True  # if either has it
    spec.update(RLModuleSpec())
    assert spec.inference_only is True


def test_update_without_override_fills_gaps():
    spec = RLModuleSpec(model_config_dict={})
    spec.update(RLModuleSpec(**FULL, inference_only=True, load_state_path="/x"), override=False)
    assert spec == RLModuleSpec(**{**FULL, "model_config_dict": {}}, load_state_path="/x")
    with pytest.raises(ValueError, match="RLModuleSpec"):
        spec.update({"observation_space": OBS})


def test_as_multi():
    spec = RLModuleSpec(**FULL, load_state_path="/x")
    multi = spec.as_multi_rl_module_spec()
    assert isinstance(multi, MultiRLModuleSpec)
    assert multi[DEFAULT_MODULE_ID] is spec
    assert multi.load_state_path == "/x"
    with pytest.raises(ValueError, match="as_multi_rl_module_spec"):
        spec.as_multi_agent()


def test_config_and_catalog():
    catalog = RLModuleConfig(OBS, ACT, catalog_class=Catalog).get_catalog()
    assert catalog.latent_dims == (256,)
    with pytest.raises(ValueError, match="no catalog"):
        RLModuleConfig(OBS, ACT).get_catalog()
    with pytest.raises(KeyError):
        RLModuleConfig.from_dict({})


def test_options_are_checked():
    with pytest.raises(ConfigError, match="Did you mean 'use_lstm'"):
        Catalog(OBS, ACT, {"use_lstn": True})
    with pytest.raises(ConfigError, match="mean the same"):
        Catalog(OBS, ACT, {"hidden": [1], "fcnet_hiddens": [1]})
    assert Catalog(OBS, ACT, {"hidden": [3, 7]}).latent_dims == (7,)
