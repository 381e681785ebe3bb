"""An RLModule as skrl's models in JAX: one for the policy, one for the value function.

skrl gives each of the two its own parameters and optimiser. What acting does not need belongs to
the value function, all the rest to the policy.
"""

from __future__ import annotations

from typing import Any, cast

import jax
import jax.numpy as jnp
from gymnasium import spaces
from motrix_envs.errors import ConfigError
from motrix_rl.rl_module import Columns, InferenceOnlyAPI, ValueFunctionAPI, nested, states
from motrix_rl.rl_module.distributions import DiagGaussian
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.skrl.modules import batch_of, is_gaussian, spread_of
from skrl import config
from skrl.models.jax.base import StateDict

from motrix_rl_jax.rl_module.module import FlaxRLModule
from motrix_rl_jax.rl_module.ops import Ops

Output = tuple[jax.Array, dict[str, Any]]


class WithBuffers:
    """What skrl calls a preprocessor: sends the module's buffers along with the observations.

    A compiled function would keep buffers as constants; as arguments they stay up to date.

    Args:
        module: Whose buffers.
        device: Where they are needed.
    """

    def __init__(self, module: FlaxRLModule, device: jax.Device) -> None:
        self._module, self._device = module, device
        self._seen: list[Any] | None = None
        self._buffers: Any = None

    def __call__(self, observations: jax.Array, **_: Any) -> tuple[jax.Array, Any]:
        """Return observations and buffers."""
        seen = [id(leaf) for leaf in nested.leaves(self._module.buffers)]
        if seen != self._seen:  # an update replaces arrays, and never writes into them
            on_device = nested.transform(jnp.asarray, self._module.buffers)
            self._seen, self._buffers = seen, jax.device_put(on_device, self._device)
        return observations, self._buffers


class ModuleModel:
    """One role of a module, as skrl's agent uses a model.

    Args:
        module: Policy and value function; its own parameters stay as they are.
        params: The parameters of this role.
        device: Where they go.
    """

    def __init__(self, module: FlaxRLModule, params: dict[str, Any], device: jax.Device) -> None:
        self._module = module
        self.training = False
        self.state_dict = StateDict.create(
            apply_fn=self.apply, params=jax.device_put(params, device)
        )

    def apply(self, params: Any, inputs: dict[str, Any], role: str = "") -> Any:
        """Return what this role makes of inputs; skrl compiles it."""
        raise NotImplementedError

    def enable_training_mode(self, enabled: bool = True) -> None:
        """Take note; nothing here differs between the two modes."""
        self.training = enabled

    def _bound(self, params: Any, inputs: dict[str, Any]) -> tuple[FlaxRLModule, dict[str, Any]]:
        """Return the module around other parameters, and a batch for it."""
        observations, buffers = inputs["observations"]
        module = self._module.bind({"params": params, "buffers": buffers})
        return module, batch_of({**inputs, "observations": observations})


class PolicyModel(ModuleModel):
    """The policy; its draws are counted, and follow from skrl's key.

    Attributes:
        draws: How often it was asked to act.
    """

    def __init__(self, module: FlaxRLModule, params: dict[str, Any], device: jax.Device) -> None:
        super().__init__(module, params, device)
        self.draws = 0
        self._key = config.jax.key
        dist_cls = module.get_train_action_dist_cls()
        assert dist_cls is not None  # `check_module` saw to it
        self._dist_cls = dist_cls

    def apply(self, params: Any, inputs: dict[str, Any], role: str = "") -> Any:
        """Return actions, their log-probabilities (num_envs, 1), and spread."""
        module, batch = self._bound(params, inputs)
        output = module.forward_inference(batch)
        dist = self._dist_cls.from_logits(output[Columns.ACTION_DIST_INPUTS])
        rows = len(batch[Columns.OBS])
        if "taken_actions" not in inputs:
            key = jax.random.fold_in(self._key, inputs["draw"])
            actions, logp = dist.sample(return_logp=True, rng=key)
            return actions.reshape(rows, -1), logp[:, None], spread_of(dist)
        actions = _as_drawn(inputs["taken_actions"], module.action_space)
        return inputs["taken_actions"], dist.logp(actions)[:, None], spread_of(dist)

    def act(self, inputs: dict[str, Any], *, role: str = "", params: Any = None) -> Output:
        """Return sampled actions; of taken ones, the log-probabilities."""
        self.draws += 1
        params = self.state_dict.params if params is None else params
        if "taken_actions" not in inputs:
            inputs = {**inputs, "draw": jnp.uint32(self.draws)}
        actions, logp, spread = self.apply(params, inputs, role)
        return actions, {"log_prob": logp, "stddev": spread}

    def get_entropy(self, stddev: jax.Array, *, role: str = "") -> jax.Array:
        """Return the entropy that belongs to what `act` called `stddev`, (num_envs, 1)."""
        if not is_gaussian(self._module):
            return stddev
        entropy: jax.Array = bound(DiagGaussian, Ops)(jnp.zeros_like(stddev), stddev).entropy()
        return entropy[:, None]


class ValueModel(ModuleModel):
    """The value function."""

    def apply(self, params: Any, inputs: dict[str, Any], role: str = "") -> jax.Array:
        """Return values (num_envs, 1)."""
        module, batch = self._bound(params, inputs)
        values: jax.Array = cast("ValueFunctionAPI", module).compute_values(batch)
        return values[:, None]

    def act(self, inputs: dict[str, Any], *, role: str = "", params: Any = None) -> Output:
        """Return values (num_envs, 1)."""
        return self.apply(self.state_dict.params if params is None else params, inputs, role), {}


def _as_drawn(actions: jax.Array, space: Any) -> jax.Array:
    """Return actions of skrl's memory, (num_envs, size) floats, as a distribution draws them."""
    actions = actions.reshape(-1, *(space.shape or ()))
    return actions if isinstance(space, spaces.Box) else actions.astype(jnp.int32)


def make_models(module: FlaxRLModule, device: jax.Device) -> dict[str, Any]:
    """Return skrl's dictionary of models around a module.

    Raises:
        ConfigError: Policy and value function cannot be told apart.
    """
    name = type(module).__name__
    if not isinstance(module, InferenceOnlyAPI):
        raise ConfigError(
            f"{name} does not say which parts only its value function uses, and skrl trains two "
            "separate networks in JAX: add InferenceOnlyAPI, or train with torch"
        )
    of_policy = states.without(module.params, module.get_non_inference_attributes())
    whole, mine = states.flatten(module.params), states.flatten(of_policy)
    of_value = states.unflatten({path: whole[path] for path in whole.keys() - mine.keys()})
    return {
        "policy": PolicyModel(module, of_policy, device),
        "value": ValueModel(module, of_value, device),
    }


def collect(module: FlaxRLModule, models: dict[str, Any]) -> None:
    """Give a module the parameters that its models have learnt."""
    flat: dict[str, Any] = {}
    for model in models.values():
        flat |= states.flatten(model.state_dict.params)
    module.params = states.unflatten(flat)
