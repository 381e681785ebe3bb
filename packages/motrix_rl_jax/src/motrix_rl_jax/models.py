"""Policy and value function as skrl models in Flax; an ELU stands before every head."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from motrix_rl.skrl.cfg import PPOCfg
from skrl import config
from skrl.models.jax import DeterministicMixin, GaussianMixin, Model
from skrl.models.jax.base import StateDict

Output = tuple[jax.Array, dict[str, Any]]

# skrl's models are Flax dataclasses that are cloned by their fields, hence the class attributes
# beside the constructors.


class Policy(GaussianMixin, Model):
    """A Gaussian whose mean is an MLP of the observation and whose log-std is a free vector."""

    widths: tuple[int, ...] = ()
    initial_log_std: float = 0.0

    def __init__(self, *, widths: tuple[int, ...], initial_log_std: float, **spaces: Any) -> None:
        self.widths = widths
        self.initial_log_std = initial_log_std
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self)

    @nn.compact
    def __call__(self, inputs: dict[str, Any], role: str = "") -> Output:
        """Return mean actions (num_envs, action_dim) and the log-std."""
        x = inputs["observations"]
        for width in self.widths:
            x = nn.elu(nn.Dense(width)(x))
        initial = nn.initializers.constant(self.initial_log_std)
        log_std = self.param("log_std", initial, (self.num_actions,))
        return nn.Dense(self.num_actions)(x), {"log_std": log_std}


class Value(DeterministicMixin, Model):
    """An MLP of the privileged state where there is one, otherwise of the observation."""

    widths: tuple[int, ...] = ()

    def __init__(self, *, widths: tuple[int, ...], **spaces: Any) -> None:
        self.widths = widths
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)

    @nn.compact
    def __call__(self, inputs: dict[str, Any], role: str = "") -> Output:
        """Return values (num_envs, 1)."""
        x = inputs["observations" if self.state_space is None else "states"]
        for width in self.widths:
            x = nn.elu(nn.Dense(width)(x))
        return nn.Dense(1)(x), {}


def make_models(cfg: PPOCfg, env: Any) -> dict[str, Any]:
    """Return skrl's dictionary of models, with initial parameters, for a wrapped environment."""
    spaces = {
        "observation_space": env.observation_space,
        "state_space": env.state_space,
        "action_space": env.action_space,
        "device": env.device,
    }
    policy = Policy(
        widths=cfg.policy_hidden_layer_sizes, initial_log_std=cfg.initial_log_std, **spaces
    )
    value = Value(widths=cfg.value_hidden_layer_sizes, **spaces)
    with jax.default_device(env.device):
        keys = jax.random.split(config.jax.key)
        _initialise(policy, keys[0])
        _initialise(value, keys[1])
    return {"policy": policy, "value": value}


def _initialise(model: Any, key: jax.Array) -> None:
    """Draw the parameters in one compilation; skrl's own way takes twenty."""
    sizes = {"observations": model.num_observations, "states": model.num_states}
    inputs = {name: jnp.zeros((1, size)) for name, size in sizes.items()}
    params = jax.jit(model.init)(key, inputs)
    model.state_dict = StateDict.create(apply_fn=model.apply, params=params)
