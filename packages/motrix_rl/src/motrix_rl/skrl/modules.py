"""From a PPO configuration to the module that is trained."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

from gymnasium import spaces
from motrix_envs.errors import ConfigError, PluginError
from motrix_envs.np.env import NpEnv

from motrix_rl import registry
from motrix_rl.rl_module import Columns, RLModule, RLModuleSpec, ValueFunctionAPI
from motrix_rl.rl_module.distributions import DiagGaussian, SquashedGaussian
from motrix_rl.rl_module.frameworks import ppo_module
from motrix_rl.skrl.cfg import PPOCfg


def build_module(cfg: PPOCfg, env: NpEnv, framework: str, seed: int) -> RLModule:
    """Return the module that `cfg.rl_module` asks for, by default PPO's own.

    A spec's own spaces and options win; what it leaves open comes from the environment and from
    the configuration's fields about networks.

    Args:
        cfg: A validated configuration.
        env: What the module will see and decide on.
        framework: Where PPO's own module is built.
        seed: Key of the initial weights.

    Raises:
        ConfigError: There is no such module, or it cannot be built.
    """
    spec = module_spec(cfg.rl_module)
    options = spec.model_config_dict
    if options is None:
        options = model_config(cfg, env)
    spec = replace(
        spec,
        module_class=spec.module_class or ppo_module(framework),
        observation_space=spec.observation_space or env.observation_space,
        action_space=spec.action_space or env.action_space,
        state_space=spec.state_space or env.state_space,
        model_config_dict={"seed": seed, **options},
    )
    return spec.build(load=True)


def module_spec(choice: str | RLModuleSpec | None) -> RLModuleSpec:
    """Return the spec of a choice of module.

    Args:
        choice: The name of a declared module, `"package.module:Class"`, a spec, or None.

    Raises:
        ConfigError: Nobody declares the name, or it is no RLModule that can be imported.
    """
    if isinstance(choice, RLModuleSpec):
        return choice
    if choice is None:
        return RLModuleSpec()
    cls = _import_class(choice) if ":" in choice else _declared_class(choice)
    if not (isinstance(cls, type) and issubclass(cls, RLModule)):
        raise ConfigError(f"rl_module = {choice!r} is no RLModule class, but {cls!r}")
    return RLModuleSpec(module_class=cls)


def _declared_class(name: str) -> Any:
    try:
        return registry.default.rl_module(name)
    except PluginError as error:
        raise ConfigError(f"rl_module = {name!r}: {error}") from error


def _import_class(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"rl_module = {path!r} cannot be imported: {error}. It takes 'package.module:Class' of "
            "an installed package or of a file in the working folder, or a declared name"
        ) from error


def model_config(cfg: PPOCfg, env: NpEnv) -> dict[str, Any]:
    """Return the options of PPO's own module, see `DefaultModelConfig`."""
    shared = cfg.share_policy_value_features
    if shared and env.state_space is not None:
        raise ConfigError(
            "this environment has privileged observations for the critic, which a shared network "
            "cannot see: set share_policy_value_features = False"
        )
    return {
        "fcnet_hiddens": list(cfg.policy_hidden_layer_sizes),
        "vf_fcnet_hiddens": list(cfg.value_hidden_layer_sizes),
        "fcnet_activation": "elu",
        "vf_share_layers": shared,
        "free_log_std": isinstance(env.action_space, spaces.Box),
        "initial_log_std": cfg.initial_log_std,
        "normalize_observations": True,
    }


def check_module(module: RLModule, cfg: PPOCfg, framework: str) -> None:
    """Refuse a module that PPO cannot train here.

    Raises:
        ConfigError: It is of another framework, has no value function, is recurrent, or has no
            closed-form entropy where one is wanted.
    """
    name = type(module).__name__
    if module.framework != framework:
        advice = f"; choose --backend {module.framework}" if module.framework else ""
        raise ConfigError(
            f"{name} is a module of {module.framework or 'numpy'}: backend '{framework}' cannot "
            f"train it{advice}"
        )
    if not isinstance(module, ValueFunctionAPI):
        raise ConfigError(f"{name} has no value function, which PPO needs: add ValueFunctionAPI")
    if module.is_stateful():
        raise ConfigError(
            f"{name} is recurrent. Recurrent modules can be built, saved, loaded and act, but no "
            "trainer here can train them yet: choose options without use_lstm"
        )
    dist_cls = module.get_train_action_dist_cls() or object
    if cfg.entropy_loss_scale and issubclass(dist_cls, SquashedGaussian):
        raise ConfigError(
            "entropy_loss_scale needs an entropy in closed form, which a squashed Gaussian does "
            "not have: set entropy_loss_scale = 0"
        )


def batch_of(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what skrl's agent shows a model, as a batch of columns."""
    batch = {Columns.OBS: inputs["observations"]}
    if inputs.get("states") is not None:
        batch[Columns.STATE] = inputs["states"]
    return batch


def spread_of(dist: Any) -> Any:
    """Return how far a policy's actions lie apart: a Gaussian's scales, otherwise the entropy."""
    return dist.scale if isinstance(dist, DiagGaussian) else dist.entropy()[..., None]


def is_gaussian(module: RLModule) -> bool:
    """Tell whether a module's actions come from a Gaussian."""
    return issubclass(module.get_train_action_dist_cls() or object, DiagGaussian)
