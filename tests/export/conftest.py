"""Modules to export, and their files, each made once."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces
from motrix_rl.export import FORMATS, export_module
from motrix_rl.rl_module.acting import initial_states

FLAT, IMAGE = spaces.Box(-1, 1, (5,)), spaces.Box(0, 255, (9, 10, 3), np.uint8)
FLAT64 = spaces.Box(-1, 1, (5,), np.float64)
MOVE, FREE = spaces.Box(-1, 1, (3,)), spaces.Box(-np.inf, np.inf, (3,))
HALF_OPEN = spaces.Box(np.array([-np.inf, -0.5, -np.inf], np.float32), np.float32(0.25), (3,))
WIDE = spaces.Box(np.array([-1.1, 0, -3.3]), np.array([2.2, 1, 3]), dtype=np.float64)
NESTED = spaces.Dict({"arm": MOVE, "hand": spaces.Tuple([spaces.Discrete(3, start=5)])})
FILTERS = [[4, 3, 2], [5, [2, 3], 1, "valid"]]
RECURRENT = {"hidden": [6], "use_lstm": True, "lstm_cell_size": 7}

CASES = {
    "ppo": (FLAT, MOVE, {
        "hidden": [16, 8], "fcnet_activation": "elu", "free_log_std": True,
        "normalize_observations": True, "vf_share_layers": False,
    }),
    "norm": (FLAT, FREE, {
        "hidden": [16], "fcnet_activation": "gelu", "fcnet_use_layernorm": True,
        "post_fcnet_hiddens": [8], "post_fcnet_activation": "silu",
    }),
    "squashed": (FLAT, WIDE, {"hidden": [8], "fcnet_activation": "relu", "squash_actions": True}),
    "clipped": (FLAT64, WIDE, {"hidden": [8], "fcnet_activation": "linear"}),
    "half-open": (FLAT, HALF_OPEN, {"hidden": [8]}),
    "discrete": (FLAT, spaces.Discrete(4, start=-2), {"hidden": [8]}),
    "multi": (FLAT, spaces.MultiDiscrete([3, 4], start=[1, -7]), {"hidden": [8]}),
    "nested": (FLAT, NESTED, {"hidden": [8]}),
    "image": (IMAGE, MOVE, {"conv_filters": FILTERS}),
    "lstm": (FLAT, MOVE, {**RECURRENT, "lstm_num_layers": 2}),
    "gru": (FLAT, MOVE, {**RECURRENT, "lstm_cell": "gru", "vf_share_layers": False}),
}  # fmt: skip

CONTRACT = {"ctrl_dt": 0.02, "observation": {"size": 5}, "action": {"low": [None, -0.5]}}


def build(cls, name, **options):
    """Return a module of a case; its outputs are large enough to meet the bounds."""
    obs, actions, case = CASES[name]
    config = {"seed": 3, **case, **options}
    module = cls(observation_space=obs, action_space=actions, model_config=config)
    if config.get("normalize_observations"):
        module.update_normalizer(np.random.default_rng(1).normal(0.3, 2, (500, 5)))
    state = module.get_state()
    for key in state["pi"]["out"]:
        state["pi"]["out"][key] = 20 * state["pi"]["out"][key]
    module.set_state(state)
    return module


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Return what makes the file of a case once: module, path, and what `export_module` said."""

    @cache
    def make(cls, name, format):
        folder = tmp_path_factory.mktemp(f"{name}-{format}")
        module = build(cls, name)
        path = folder / f"policy{FORMATS[format].suffix}"
        said = export_module(module, path, format, CONTRACT)
        return SimpleNamespace(module=module.for_inference(), path=path, said=said)

    return make


def start(module, rows):
    """Return the initial state of a module, None if it is stateless."""
    return initial_states(module, rows) if module.is_stateful() else None
