"""PPO's own module as chains of layers, all of their parameters in one vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TypeGuard

import numpy as np
from numpy.typing import NDArray

from motrix_rl.native.activations import ACTIVATIONS
from motrix_rl.native.plan import Plan, padded
from motrix_rl.rl_module import Columns, RLModule
from motrix_rl.rl_module.distributions import DiagGaussian
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.rl_module.networks import FreeLogStdMLPHeadConfig, MLPConfig, ModelConfig
from motrix_rl.rl_module.ppo import PPORLModule, is_portable

Array = NDArray[np.float32]

LOG_STD = "pi/log_std"


@dataclass(frozen=True)
class Chain:
    """One network.

    Attributes:
        plan: Its layers.
        names: Canonical paths of these, such as `encoder/actor/0`.
        start: Where its parameters begin in the vector.
    """

    plan: Plan
    names: tuple[str, ...]
    start: int

    @property
    def end(self) -> int:
        """Where they end."""
        return self.start + self.plan.size

    def of(self, vector: Array) -> Array:
        """Return the part of a vector that belongs to this network."""
        return vector[self.start : self.end]


@dataclass(frozen=True)
class ActorCritic:
    """Policy and value function as chains, and the vector of their parameters.

    Attributes:
        encoder: What both begin with, where they share it.
        actor: From observations, or from what the encoder puts out, to means of actions.
        critic: Likewise to a value.
        actions: Width of an action.
        activations: What follows hidden layers, by path of the network.
    """

    encoder: Chain | None
    actor: Chain
    critic: Chain
    actions: int
    activations: Mapping[str, str]

    @classmethod
    def of(cls, module: RLModule) -> Self | None:
        """Return a module's networks, if it is PPO's own, of plain MLPs with a free log-std."""
        if not (is_portable(module) and isinstance(module, PPORLModule)):
            return None
        catalog = module._ppo_catalog
        encoders, pi = catalog.actor_critic_encoder_config.parts(), catalog.pi_head_config
        parts: dict[str, ModelConfig] = {f"encoder/{role}": e for role, e in encoders.items()}
        parts |= {"pi": pi, "vf": catalog.vf_head_config}
        plain = {path: part for path, part in parts.items() if _is_plain(part)}
        gaussian = _is_gaussian(module) and isinstance(pi, FreeLogStdMLPHeadConfig)
        return cls._joined(plain) if gaussian and len(plain) == len(parts) else None

    @classmethod
    def _joined(cls, parts: dict[str, MLPConfig]) -> Self:
        stages = {path: _stages(path, part) for path, part in parts.items()}
        shared = stages.get("encoder/shared", [])
        before = {"pi": stages.get("encoder/actor", []), "vf": stages.get("encoder/critic", [])}
        encoder = _chain(shared, 0) if shared else None
        actor = _chain(before["pi"] + stages["pi"], encoder.end if encoder else 0)
        critic = _chain(before["vf"] + stages["vf"], actor.end)
        activations = {path: str(part.hidden_layer_activation) for path, part in parts.items()}
        return cls(encoder, actor, critic, stages["pi"][-1].outputs, activations)

    @property
    def chains(self) -> list[Chain]:
        """All of them, in the order of the vector."""
        return [*self._shared, self.actor, self.critic]

    @property
    def of_policy(self) -> list[Chain]:
        """Those that an observation goes through to become means of actions."""
        return [*self._shared, self.actor]

    @property
    def of_value(self) -> list[Chain]:
        """Those that it goes through to become a value."""
        return [*self._shared, self.critic]

    @property
    def _shared(self) -> list[Chain]:
        return [] if self.encoder is None else [self.encoder]

    @property
    def size(self) -> int:
        """Length of the vector; what belongs to no parameter is zero and stays so."""
        return self.critic.end + padded(self.actions)

    def log_std(self, vector: Array) -> Array:
        """Return the log-std in a vector, (actions,)."""
        return self.padded_log_std(vector)[: self.actions]

    def padded_log_std(self, vector: Array) -> Array:
        """Return the same in whole vectors."""
        return vector[self.critic.end :]

    def views(self, vector: Array) -> dict[str, Array]:
        """Return the parameters in a vector by canonical path, in their canonical shapes."""
        found = {LOG_STD: self.log_std(vector)}
        for chain in self.chains:
            part = chain.of(vector)
            for layer, name in zip(chain.plan.layers, chain.names, strict=True):
                kernel, bias = layer.views(part)
                found |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
        return found


def widths_of(module: RLModule) -> dict[str, int]:
    """Return widths of what a module sees, by column; its critic may have one of its own."""
    config = module.config
    spaces = {Columns.OBS: config.observation_space, Columns.STATE: config.state_space}
    return {name: (space.shape or ())[0] for name, space in spaces.items() if space is not None}


@dataclass(frozen=True)
class _Stage:
    """A layer before it has its place."""

    name: str
    inputs: int
    outputs: int
    activation: str


def _is_gaussian(module: RLModule) -> bool:
    """Tell whether actions come from a Gaussian as it is: not from a bounded one, say."""
    cls = module.get_train_action_dist_cls()
    return cls is not None and cls is bound(DiagGaussian, cls.ops)


def _is_plain(config: ModelConfig) -> TypeGuard[MLPConfig]:
    return (
        isinstance(config, MLPConfig)
        and not config.hidden_layer_use_layernorm
        and config.hidden_layer_use_bias
        and config.hidden_layer_activation in {*ACTIVATIONS, "linear"}
        and (config.output_layer_dim is None or config.output_layer_use_bias)
        and config.output_layer_activation == "linear"
    )


def _stages(path: str, config: MLPConfig) -> list[_Stage]:
    widths = [config.input_dims[0], *config.hidden_layer_dims]
    stages = [
        _Stage(f"{path}/{i}", widths[i], outputs, config.hidden_layer_activation)
        for i, outputs in enumerate(config.hidden_layer_dims)
    ]
    if config.output_layer_dim is not None:
        outputs = config.parameters()["out/bias"].shape[0]  # without the log-stds
        stages.append(_Stage(f"{path}/out", widths[-1], outputs, "linear"))
    return stages


def _chain(stages: list[_Stage], start: int) -> Chain:
    widths = (stages[0].inputs, *(stage.outputs for stage in stages))
    plan = Plan.of(widths, tuple(stage.activation for stage in stages))
    return Chain(plan, tuple(stage.name for stage in stages), start)
