"""The module that PPO trains, for every framework: an encoder, a policy head, a value head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from motrix_envs.errors import ConfigError
from numpy.typing import ArrayLike

from motrix_rl.rl_module import normaliser
from motrix_rl.rl_module.aliases import Batch
from motrix_rl.rl_module.annotations import override
from motrix_rl.rl_module.apis import InferenceOnlyAPI, NormalizerAPI, ValueFunctionAPI
from motrix_rl.rl_module.catalog import Catalog
from motrix_rl.rl_module.columns import Columns
from motrix_rl.rl_module.distributions import Distribution
from motrix_rl.rl_module.module import RLModule
from motrix_rl.rl_module.networks import (
    ActorCriticEncoderConfig,
    FreeLogStdMLPHeadConfig,
    MLPHeadConfig,
    ModelConfig,
    RecurrentEncoderConfig,
)

PORTABLE_KIND = "motrix.ppo"
"""Mark of the modules that are nothing but `PPORLModule` in some framework."""


def is_portable(module: RLModule) -> bool:
    """Tell whether a module is nothing but `PPORLModule` in some framework."""
    return vars(type(module)).get("PORTABLE_KIND") == PORTABLE_KIND


class PPOCatalog(Catalog):
    """Networks for policy and value function.

    Attributes:
        actor_critic_encoder_config: The encoders.
        pi_head_config: Features to inputs of the action distribution.
        vf_head_config: Features to one value.
    """

    @override(Catalog)
    def _determine_components_hook(self) -> None:
        super()._determine_components_hook()
        options = self.options
        if self.state_space is not None and options.vf_share_layers:
            raise ConfigError(
                "a critic with privileged observations cannot share the policy's encoder: set "
                "vf_share_layers = False"
            )
        critic = self.encoder_config
        if not options.vf_share_layers:
            hidden = options.vf_fcnet_hiddens or options.fcnet_hiddens
            seen = self.state_space or self.observation_space
            critic = self.get_encoder_config(seen, replace(options, fcnet_hiddens=hidden))
        self.actor_critic_encoder_config = ActorCriticEncoderConfig(
            self.encoder_config, critic, shared=options.vf_share_layers
        )
        self.pi_head_config: ModelConfig = self._pi_head()
        self.vf_head_config: ModelConfig = MLPHeadConfig(
            critic.output_dims, output_layer_dim=1, output_gain=1.0, **self._head_options()
        )

    def _pi_head(self) -> ModelConfig:
        if self.action_space is None:
            raise ConfigError("PPO needs an action space")
        outputs = self.get_action_dist_cls(None).required_input_dim(self.action_space)
        sizes = {"output_layer_dim": outputs, "output_gain": 0.01, **self._head_options()}
        if not self.options.free_log_std:
            return MLPHeadConfig(self.latent_dims, **sizes)
        if not isinstance(self.action_space, spaces.Box):
            raise ConfigError(f"free_log_std is for Box actions only, not {self.action_space}")
        start = self.options.initial_log_std
        return FreeLogStdMLPHeadConfig(self.latent_dims, initial_log_std=start, **sizes)

    def _head_options(self) -> dict[str, Any]:
        return {
            "hidden_layer_dims": tuple(self.options.post_fcnet_hiddens),
            "hidden_layer_activation": self.options.post_fcnet_activation,
            "initialiser": self.options.initialiser,
        }

    def build_actor_critic_encoder(self, framework: str) -> Any:
        """Return the encoders in a framework; see `ModelConfig.build`."""
        return self.actor_critic_encoder_config.build(framework)

    @override(Catalog)
    def build_encoder(self, framework: str) -> Any:
        """Raise: PPO has encoders for two."""
        raise NotImplementedError("use `build_actor_critic_encoder`")

    def build_pi_head(self, framework: str) -> Any:
        """Return the policy head in a framework; see `ModelConfig.build`."""
        return self.pi_head_config.build(framework)

    def build_vf_head(self, framework: str) -> Any:
        """Return the value head in a framework; see `ModelConfig.build`."""
        return self.vf_head_config.build(framework)


class PPORLModule(RLModule, InferenceOnlyAPI, ValueFunctionAPI, NormalizerAPI):
    """Policy and value function; a framework's base class goes before this one.

    State: `encoder/shared` or `encoder/actor` and `encoder/critic`, `pi`, `vf`, and, if
    observations are normalised, `normalizer` and for privileged ones `state_normalizer`. Stateful
    with `use_lstm`; then columns are (batch, time, ...),
    and a batch without time axis counts as one step.
    """

    @override(RLModule)
    def setup(self) -> None:
        """Create encoder, heads and normaliser."""
        if self.catalog is None:
            self.catalog = PPOCatalog(
                self.config.observation_space,
                self.config.action_space,
                self.config.model_config_dict,
                self.config.state_space,
            )
        if not isinstance(self.catalog, PPOCatalog):
            raise ConfigError(f"PPO needs a PPOCatalog, not {type(self.catalog).__name__}")
        catalog = self._ppo_catalog = self.catalog
        self._shared = catalog.actor_critic_encoder_config.shared
        encoder = catalog.encoder_config
        self._recurrent = encoder if isinstance(encoder, RecurrentEncoderConfig) else None
        seed = catalog.options.seed
        self.add_network("encoder", catalog.actor_critic_encoder_config, seed)
        self.add_network("pi", catalog.pi_head_config, seed)
        self.add_network("vf", catalog.vf_head_config, seed)
        if catalog.options.normalize_observations:
            for name, space in self._normalised_spaces().items():
                shape = getattr(space, "shape", None) or ()
                self._write_moments(name, normaliser.initial_moments(shape))

    def _normalised_spaces(self) -> dict[str, gym.Space[Any] | None]:
        spaces = {"normalizer": self.config.observation_space}
        if self.config.state_space is not None:
            spaces["state_normalizer"] = self.config.state_space
        return spaces

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """Return the value head and, unless it is shared, what comes before it."""
        if self._shared:
            return ["vf"]
        normalised = self.normalizes() and self.config.state_space is not None
        return ["vf", "encoder.critic", *(["state_normalizer"] if normalised else [])]

    # Specs

    @override(RLModule)
    def _default_input_specs(self) -> Any:
        return [Columns.OBS, *([Columns.STATE_IN] if self._recurrent else [])]

    @override(RLModule)
    def input_specs_exploration(self) -> Any:
        """Return the default, and privileged observations where a critic wants them."""
        return self.input_specs_train()

    @override(RLModule)
    def input_specs_train(self) -> Any:
        """Return the default, and privileged observations where a critic wants them."""
        privileged = self.config.state_space is not None and not self.config.inference_only
        return [*self._default_input_specs(), *([Columns.STATE] if privileged else [])]

    @override(RLModule)
    def output_specs_train(self) -> Any:
        """Return inputs of the action distribution, and values."""
        return [Columns.ACTION_DIST_INPUTS, Columns.VF_PREDS]

    # Distributions

    @override(RLModule)
    def get_train_action_dist_cls(self) -> type[Distribution]:
        """See `RLModule`."""
        return self._ppo_catalog.get_action_dist_cls(self.framework)

    @override(RLModule)
    def get_exploration_action_dist_cls(self) -> type[Distribution]:
        """See `RLModule`."""
        return self.get_train_action_dist_cls()

    @override(RLModule)
    def get_inference_action_dist_cls(self) -> type[Distribution]:
        """See `RLModule`."""
        return self.get_train_action_dist_cls()

    # Recurrent state

    @override(RLModule)
    def get_initial_state(self) -> Any:
        """Return zeros (layers, hidden): `h`, with LSTM `c`; by role unless shared."""
        if self._recurrent is None:
            return {}
        zeros = {k: np.zeros(dims, np.float32) for k, dims in self._recurrent.state_dims.items()}
        if self._shared:
            return self.to_tensor(zeros)
        roles = ("actor",) if self.config.inference_only else ("actor", "critic")
        return self.to_tensor({role: dict(zeros) for role in roles})

    # Forward passes

    @override(RLModule)
    def _forward_inference(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        features, state = self._encode(self.normalised(batch), "actor")
        return {Columns.ACTION_DIST_INPUTS: self.run_network("pi", features), **state}

    @override(RLModule)
    def _forward_exploration(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        if self.config.inference_only:
            return self._forward_inference(batch)
        output = self._forward_train(batch)
        del output[Columns.EMBEDDINGS]
        return output

    @override(RLModule)
    def _forward_train(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        batch = self.normalised(batch)
        features, state = self._encode(batch, "actor")
        critic = features
        if not self._shared:
            # The critic's state moves on too; the actor's has been moved on above.
            critic, moved = self._encode(batch, "critic")
            if moved:
                state[Columns.STATE_OUT]["critic"] = moved[Columns.STATE_OUT]["critic"]
        return {
            Columns.ACTION_DIST_INPUTS: self.run_network("pi", features),
            Columns.VF_PREDS: self.run_network("vf", critic).squeeze(-1),
            Columns.EMBEDDINGS: critic,
            **state,
        }

    @override(ValueFunctionAPI)
    def compute_values(self, batch: Batch, embeddings: Any = None) -> Any:
        """Return values; see `ValueFunctionAPI`.

        Raises:
            RuntimeError: The module is for inference only.
        """
        if self.config.inference_only:
            raise RuntimeError("a module for inference only has no value function")
        if embeddings is None:
            role = "actor" if self._shared else "critic"
            embeddings, _ = self._encode(self.normalised(batch), role)
        return self.run_network("vf", embeddings).squeeze(-1)

    def _encode(self, batch: Batch, role: str) -> tuple[Any, dict[str, Any]]:
        """Return features of normalised observations, and the columns of the recurrent state."""
        path = "encoder.shared" if self._shared else f"encoder.{role}"
        privileged = role == "critic" and self.config.state_space is not None
        obs = batch[Columns.STATE if privileged else Columns.OBS]
        if self._recurrent is None:
            return self.run_network(path, obs), {}
        state = batch[Columns.STATE_IN]
        if self._shared:
            features, state = self.run_network(path, obs, state)
        else:
            features, moved = self.run_network(path, obs, state[role])
            state = {**state, role: moved}
        return features, {Columns.STATE_OUT: state}

    # Normaliser

    def normalised(self, batch: Batch) -> Batch:
        """Return a batch with normalised observations, privileged ones too where there are any."""
        if not self.normalizes():
            return batch
        names = {Columns.OBS: "normalizer"}
        if self.config.state_space is not None and not self.config.inference_only:
            names[Columns.STATE] = "state_normalizer"
        return {
            **batch,
            **{
                column: normaliser.normalise(
                    batch[column],
                    self.read_buffer(f"{name}.mean"),
                    self.read_buffer(f"{name}.variance"),
                )
                for column, name in names.items()
                if column in batch
            },
        }

    @override(NormalizerAPI)
    def normalizes(self) -> bool:
        """Tell whether the module was made with `normalize_observations`."""
        return self._ppo_catalog.options.normalize_observations

    @override(NormalizerAPI)
    def update_normalizer(self, observations: ArrayLike, states: ArrayLike | None = None) -> None:
        """Take in what was seen; never called by a forward. See `NormalizerAPI`.

        Raises:
            ConfigError: The module was made without `normalize_observations`.
        """
        if not self.normalizes():
            raise ConfigError("this module has no normaliser: set normalize_observations = True")
        for name, seen in (("normalizer", observations), ("state_normalizer", states)):
            if seen is not None:
                moments = self.get_state(name)[name]
                self._write_moments(name, normaliser.updated(moments, seen))

    def _write_moments(self, name: str, moments: normaliser.Moments) -> None:
        for part, value in moments.items():
            self.write_buffer(f"{name}.{part}", value)
