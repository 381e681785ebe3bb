"""MultiRLModule and its spec."""

import numpy as np
import pytest
from gymnasium import spaces
from motrix_rl.rl_module import (
    MultiRLModule,
    MultiRLModuleSpec,
    PPOCatalog,
    PPONumpyRLModule,
    RLModule,
    RLModuleSpec,
    StateMismatchError,
    states,
)

OBS, ACT = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)


def spec(seed=0, **options):
    config = {"hidden": [4], "vf_share_layers": False, "seed": seed}
    return RLModuleSpec(
        PPONumpyRLModule, OBS, ACT, model_config_dict=config, catalog_class=PPOCatalog, **options
    )


def both(**options):
    return MultiRLModuleSpec(module_specs={"a": spec(1), "b": spec(2)}, **options)


def same(left, right):
    one, two = states.flatten(left.get_state()), states.flatten(right.get_state())
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


OBSERVATIONS = {"obs": np.zeros((2, 3), np.float32)}


def test_it_is_a_dictionary():
    multi = both().build()
    assert list(multi) == list(multi.keys()) == ["a", "b"]
    assert len(multi) == 2
    assert "a" in multi
    assert multi.get("x") is None
    assert dict(multi.items())["a"] is multi["a"]
    with pytest.raises(KeyError, match="no module 'x'; here are: a, b"):
        multi["x"]
    assert multi.foreach_module(lambda name, module: name) == ["a", "b"]
    assert multi.foreach_module(lambda name, m: m is multi[name], return_dict=True) == {
        "a": True,
        "b": True,
    }


def test_forwards_go_by_id():
    multi = both().build()
    out = multi.forward_train({"b": OBSERVATIONS})
    assert set(out) == {"b"}
    np.testing.assert_array_equal(
        out["b"]["vf_preds"], multi["b"].forward_train(OBSERVATIONS)["vf_preds"]
    )
    assert set(multi.forward_inference({"a": OBSERVATIONS, "b": OBSERVATIONS})) == {"a", "b"}
    with pytest.raises(KeyError, match="no module 'x'"):
        multi.forward_exploration({"x": OBSERVATIONS})


def test_adding_and_removing():
    multi = MultiRLModule()
    module = spec().build()
    assert multi.framework is None
    multi.add_module("a", module)
    assert multi["a"] is module
    with pytest.raises(ValueError, match="already"):
        multi.add_module("a", module)
    multi.add_module("a", spec(3).build(), override=True)
    assert multi["a"] is not module
    assert multi.remove_module("nobody", raise_err_if_not_found=False) is None
    with pytest.raises(KeyError):
        multi.remove_module("nobody")
    multi.remove_module("a")
    assert not multi
    assert MultiRLModule().keys() == set()


@pytest.mark.parametrize("bad", ["", "a/b", "..", ".hidden", "con", "a:b", "manifest.json", "a."])
def test_an_id_is_a_folder_name_everywhere(bad):
    with pytest.raises(ValueError, match="name"):
        MultiRLModule().add_module(bad, spec().build())


def test_frameworks_do_not_mix():
    other = spec().build()
    other.framework = "torch"
    multi = both().build()
    with pytest.raises(ValueError, match="belongs to torch"):
        multi.add_module("c", other)
    alone = MultiRLModule()
    alone.add_module("c", other)
    assert alone.framework == "torch"


def test_the_callers_config_stays_as_it_was():
    config = both().get_multi_rl_module_config()
    MultiRLModule(config).remove_module("a")
    assert set(config.modules) == {"a", "b"}


def test_states_by_id_and_part():
    multi = both().build()
    assert set(multi.get_state("a")) == {"a"}
    assert multi.get_state("a/pi").keys() == {"a"}
    assert multi.get_state("a/pi")["a"].keys() == {"pi"}
    assert multi.get_state(not_components=["b", "a/vf"])["a"].keys() == {"encoder", "pi"}
    assert multi.get_state(inference_only=True)["b"]["encoder"].keys() == {"actor"}


def test_nothing_is_loaded_half():
    multi, other = both().build(), both().build()
    multi["a"]._arrays["pi/out/bias"] += 1
    state = multi.get_state()
    state["b"]["pi"]["out"]["bias"] = np.zeros(9, np.float32)
    before = other.get_state()
    with pytest.raises(StateMismatchError, match="misshapen: b/pi/out/bias"):
        other.set_state(state)
    np.testing.assert_array_equal(
        other.get_state()["a"]["pi"]["out"]["bias"], before["a"]["pi"]["out"]["bias"]
    )
    with pytest.raises(StateMismatchError, match="missing: b; unexpected: c"):
        other.set_state({"a": before["a"], "c": before["b"]})
    assert other.set_state({"a": multi.get_state()["a"]}, strict=False).missing == ("b",)


def test_disk(tmp_path):
    multi = both().build()
    path = multi.save_to_path(tmp_path / "multi")
    assert sorted(p.name for p in (tmp_path / "multi").iterdir()) == [
        *("a", "b", "manifest.json", "module.json", "weights.safetensors"),
    ]
    assert same(RLModule.from_checkpoint(path), multi)
    assert same(RLModule.from_checkpoint(f"{path}/a"), multi["a"])
    fresh = MultiRLModuleSpec(module_specs={"a": spec(8), "b": spec(9)}).build()
    fresh.restore_from_path(f"{path}/a", component="b")
    assert same(fresh["b"], multi["a"])
    with pytest.raises(ValueError, match="no component 'x'"):
        fresh.restore_from_path(path, component="x")


def test_disk_inference_only(tmp_path):
    multi = MultiRLModuleSpec(
        module_specs={"a": spec(1), "world": spec(2, learner_only=True)}
    ).build()
    whole = multi.save_to_path(tmp_path / "whole")
    small = multi.save_to_path(tmp_path / "small", inference_only=True)
    assert not multi["a"].inference_only  # it only posed
    assert not (tmp_path / "small/world").exists()
    for loaded in (
        MultiRLModule.from_checkpoint(small),
        MultiRLModule.from_checkpoint(whole, inference_only=True),
    ):
        assert list(loaded) == ["a"]
        assert loaded["a"].inference_only
        assert set(loaded["a"].get_state()) == {"encoder", "pi"}
    assert RLModule.from_checkpoint(f"{small}/a").inference_only


# Spec


def test_spec_is_checked():
    with pytest.raises(ValueError, match="as_multi_rl_module_spec"):
        MultiRLModuleSpec(module_specs=spec())
    with pytest.raises(ValueError):
        MultiRLModuleSpec(module_specs=None)
    with pytest.raises(ValueError):
        MultiRLModuleSpec(module_specs={"a": 3})


def test_spec_builds_one_or_all():
    assert isinstance(both().build("a"), PPONumpyRLModule)
    assert both(inference_only=True).build("a").inference_only
    with pytest.raises(KeyError, match="no module 'x'"):
        both().build("x")
    learner = MultiRLModuleSpec(
        module_specs={"a": spec(), "world": spec(learner_only=True)}, inference_only=True
    )
    assert list(learner.build()) == ["a"]


def test_spec_from_module_and_json():
    wanted = both(load_state_path="/x", modules_to_load={"a"})
    assert MultiRLModuleSpec.from_dict(wanted.to_dict()) == wanted
    assert MultiRLModuleSpec.from_module(both().build()) == both()
    assert wanted.as_multi_rl_module_spec() is wanted
    assert wanted.rl_module_specs is wanted.module_specs
    assert "a" in wanted


def test_spec_changes():
    wanted = both()
    wanted.add_modules({"c": spec(3)})
    wanted.remove_modules(["a", "nobody"])
    assert list(wanted.module_specs) == ["b", "c"]
    wanted.update(RLModuleSpec(model_config_dict={"hidden": [2]}))
    assert wanted["b"].model_config_dict == {"hidden": [2]}
    wanted.update(MultiRLModuleSpec(module_specs={"d": spec()}, inference_only=True))
    assert wanted.inference_only
    assert "d" in wanted
    with pytest.raises(ValueError):
        wanted.update(3)


def test_load_precedence(tmp_path):
    multi = MultiRLModuleSpec(module_specs={"a": spec(11), "b": spec(12), "c": spec(13)}).build()
    single = spec(20).build()
    at = {"load_state_path": multi.save_to_path(tmp_path / "multi")}
    own = single.save_to_path(tmp_path / "single")
    specs = {"a": spec(1, load_state_path=own), "b": spec(2), "c": spec(3)}
    loaded = MultiRLModuleSpec(module_specs=specs, **at, modules_to_load={"a", "b"}).build(
        load=True
    )
    assert same(loaded["a"], single)  # its own path wins
    assert same(loaded["b"], multi["b"])
    assert same(loaded["c"], spec(3).build())  # not among modules_to_load
    everything = MultiRLModuleSpec(module_specs={"c": spec(3)}, **at).build(load=True)
    assert same(everything["c"], multi["c"])
    assert same(MultiRLModuleSpec(module_specs=specs, **at).build("b", load=True), multi["b"])
