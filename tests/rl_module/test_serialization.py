"""Classes, spaces and constructor arguments as JSON, and what a file must not do."""

import json
import os
from collections import OrderedDict

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module import (
    PPOCatalog,
    PPONumpyRLModule,
    RLModule,
    RLModuleConfig,
    RLModuleSpec,
    UntrustedClassError,
    deserialize_type,
    gym_space_from_dict,
    gym_space_to_dict,
    serialize_type,
)
from motrix_rl.rl_module.documents import decode, encode


class Own:
    class Inner:
        pass


def through_json(document):
    return json.loads(json.dumps(document))


# Spaces

FLOATS = st.sampled_from([np.float16, np.float32, np.float64])
INTEGERS = st.sampled_from([np.int8, np.uint8, np.int32, np.int64])
SHAPES = st.lists(st.integers(1, 3), max_size=3).map(tuple)


@st.composite
def boxes(draw):
    shape = draw(SHAPES)
    dtype = draw(st.one_of(FLOATS, INTEGERS))
    if np.dtype(dtype).kind == "f":
        limits = st.sampled_from([(-np.inf, np.inf), (-1.5, np.inf), (-np.inf, 2.0), (-1.0, 1.0)])
        low, high = draw(limits)
    else:
        low, high = 0, draw(st.integers(1, 100))
    return spaces.Box(low, high, shape, dtype)


TEXT = st.builds(
    lambda low, more, chars: spaces.Text(low + more, min_length=low, charset=chars),
    st.integers(0, 3),
    st.integers(1, 5),
    st.text(min_size=1, max_size=9),
)
PLAIN = st.one_of(
    boxes(),
    st.builds(spaces.Discrete, st.integers(1, 9), start=st.integers(-3, 3)),
    st.builds(spaces.MultiBinary, st.one_of(st.integers(1, 5), st.just([2, 3]))),
    st.builds(spaces.MultiDiscrete, st.sampled_from([[2, 3], [[1, 2], [3, 4]]])),
    TEXT,
    st.builds(
        spaces.Graph,
        boxes(),
        st.one_of(st.none(), st.builds(spaces.Discrete, st.integers(1, 4))),
    ),
)
SPACES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(spaces.Tuple),
        st.lists(inner, min_size=1, max_size=3).map(spaces.OneOf),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(
            lambda d: spaces.Dict(list(d.items()))
        ),
        st.builds(spaces.Sequence, inner, stack=st.booleans()),
    ),
    max_leaves=5,
)


def exactly(space):
    """Everything about a space that `==` overlooks."""
    if isinstance(space, spaces.Box):
        arrays = (space.low, space.high, space.bounded_below, space.bounded_above)
        return [(a.dtype, a.shape, a.tobytes()) for a in arrays]
    if isinstance(space, spaces.Dict):
        return [(key, exactly(inner)) for key, inner in space.spaces.items()]
    if isinstance(space, spaces.Tuple | spaces.OneOf):
        return [exactly(inner) for inner in space.spaces]
    return repr(space)


@settings(deadline=None)
@given(SPACES)
def test_spaces_come_back(space):
    again = gym_space_from_dict(through_json(gym_space_to_dict(space)))
    assert type(again) is type(space)
    assert again == space
    assert exactly(again) == exactly(space)


def test_order_of_a_dict_space_stays():
    space = spaces.Dict(OrderedDict(z=spaces.Discrete(2), a=spaces.Discrete(3)))
    assert list(gym_space_from_dict(gym_space_to_dict(space)).spaces) == list(space.spaces)


def test_no_space_stays_none_and_unknown_ones_are_named():
    assert gym_space_from_dict(gym_space_to_dict(None)) is None
    with pytest.raises(ValueError, match="Odd"):
        gym_space_to_dict(type("Odd", (gym.Space,), {})())


@pytest.mark.parametrize(
    "document",
    [
        3,
        {},
        {"space": "cube"},
        {"space": "discrete"},
        {"space": "discrete", "n": "x", "start": 0, "dtype": "int64"},
        {"space": "tuple", "spaces": [None]},
        {"space": "box", "low": {"dtype": "object", "shape": [1], "data": ""}},
        {"space": "multi-binary", "n": -1},
    ],
)
def test_damaged_spaces(document):
    with pytest.raises(CheckpointError):
        gym_space_from_dict(document)


def test_a_small_document_cannot_take_much_memory():
    document = gym_space_to_dict(spaces.Box(-1, 1, (1000, 1000)))
    assert len(document["low"]["data"]) < 20_000
    document["low"]["shape"] = [2]
    with pytest.raises(CheckpointError, match="8 bytes are declared"):
        gym_space_from_dict(document)
    document["low"]["shape"] = [10**9, 10**9]
    with pytest.raises(CheckpointError):
        gym_space_from_dict(document)


# Classes


def test_classes_by_path_nested_ones_too():
    assert serialize_type(PPOCatalog) == "motrix_rl.rl_module.ppo:PPOCatalog"
    assert deserialize_type("motrix_rl.rl_module.ppo:PPOCatalog") is PPOCatalog
    assert serialize_type("a.b:C") == "a.b:C"
    with pytest.raises(ValueError):
        serialize_type(os.system)


EVIL = [
    "os.system",
    "os:system",
    "posix:system",
    "subprocess:Popen",
    "builtins:eval",
    "motrix_rl.x:os.system",
    "motrix_rl.atomic:os.system",
    "motrix_rl.atomic:Path",
    "motrix_rl.rl_module.module:np",
    "motrix_rl.rl_module.ppo:PORTABLE_KIND",
    "motrix_rl.registry:rlcfg",
    "motrix_rl.rl_module.folders:Content",
    "motrix_rl.rl_module.module:RLModule.__init__",
    "motrix_rl_evil:Module",
    "motrix_rl",
    "",
    ":",
    "motrix_rl.rl_module.ppo:",
    "../motrix_rl:RLModule",
    "motrix_rl..rl_module:RLModule",
    "gymnasium:Env",
    "motrix_rl.rl_module.ppo:PPOCatalog\n",
]


@pytest.mark.parametrize("path", EVIL)
def test_a_file_cannot_name_just_anything(path):
    with pytest.raises(UntrustedClassError):
        deserialize_type(path, RLModule)


def test_nothing_outside_the_allow_list_is_even_imported(tmp_path, monkeypatch):
    (tmp_path / "loud_package.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UntrustedClassError, match=r"trusted=\('loud_package',\)"):
        deserialize_type("loud_package:Module", RLModule)


def test_a_trusted_prefix_opens_one_package(tmp_path, monkeypatch):
    source = "from motrix_rl.rl_module import PPOCatalog\nclass Mine(PPOCatalog): ...\n"
    (tmp_path / "some_acme_nets.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UntrustedClassError):
        deserialize_type("some_acme_nets:Mine", PPOCatalog)
    cls = deserialize_type("some_acme_nets:Mine", PPOCatalog, trusted=["some_acme_nets"])
    assert issubclass(cls, PPOCatalog)
    with pytest.raises(UntrustedClassError):
        deserialize_type("some_acme_nets:Mine", PPOCatalog, trusted=["some_acme"])
    with pytest.raises(UntrustedClassError, match="not derived"):
        deserialize_type("some_acme_nets:Mine", RLModule, trusted="some_acme_nets")


def test_an_installed_plugin_is_trusted():
    pytest.importorskip("acme_envs")
    from motrix_rl.rl_module.class_paths import allowed_packages

    assert "acme_envs" in allowed_packages()


def test_a_failing_import_is_an_error_not_a_text():
    with pytest.raises(UntrustedClassError, match="cannot import"):
        deserialize_type("motrix_rl.no_such_module:Thing")
    with pytest.raises(ValueError):
        deserialize_type(3)


# Documents

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=3),
        st.dictionaries(st.just("$tuple"), inner, max_size=1),
    ),
    max_leaves=8,
)


@given(VALUES)
def test_arguments_come_back_with_their_types(value):
    again = decode(through_json(encode(value)))
    assert again == value
    assert repr(again) == repr(value)


def test_arrays_spaces_classes_and_configs():
    config = RLModuleConfig(spaces.Discrete(3), model_config_dict={"a": (1, 2)})
    value = {"box": spaces.Box(0, 1), "cls": PPOCatalog, "config": config, "inf": float("inf")}
    assert decode(through_json(encode(value))) == value
    array = decode(through_json(encode(np.arange(6).reshape(2, 3))))
    assert array.dtype == np.int64
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("value", [object(), len, {1j}, np.array(["text"]), b"bytes"])
def test_what_has_no_json_form_is_refused(value):
    with pytest.raises(ValueError):
        encode(value)


@pytest.mark.parametrize(
    "document",
    [
        {"$pickle": "x"},
        {"$tuple": 3},
        {"$config": ["motrix_rl.rl_module.ppo:PPOCatalog", {}]},
        {"$config": ["os:system", {}]},
        {"$class": "os:system"},
        {"$float": "x", "more": 1},
        {"$dict": [[[1], 2]]},
    ],
)
def test_damaged_documents(document):
    with pytest.raises(CheckpointError):
        decode(document)


# Specs

MODEL_CONFIGS = st.dictionaries(st.text(max_size=4), VALUES, max_size=3)


@settings(deadline=None)
@given(SPACES, SPACES, st.booleans(), MODEL_CONFIGS, st.sampled_from([None, PPOCatalog]))
def test_specs_come_back(observations, actions, inference_only, model_config, catalog):
    spec = RLModuleSpec(
        PPONumpyRLModule,
        observations,
        actions,
        inference_only=inference_only,
        learner_only=not inference_only,
        model_config_dict=model_config,
        catalog_class=catalog,
        load_state_path="/tmp/x",
    )
    assert RLModuleSpec.from_dict(through_json(spec.to_dict())) == spec
