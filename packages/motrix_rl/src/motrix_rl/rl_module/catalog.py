"""`Catalog`: which networks and which distribution fit given spaces and options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from motrix_rl.rl_module.annotations import OverrideToImplementCustomLogic, PublicAPI
from motrix_rl.rl_module.distributions import Distribution, action_dist_cls
from motrix_rl.rl_module.errors import UnsupportedSpaceError
from motrix_rl.rl_module.frameworks import array_ops
from motrix_rl.rl_module.model_config import DefaultModelConfig
from motrix_rl.rl_module.networks import (
    CNNEncoderConfig,
    MLPEncoderConfig,
    ModelConfig,
    RecurrentEncoderConfig,
)


@PublicAPI(stability="alpha")
class Catalog:
    """Chooses networks and distributions.

    Args:
        observation_space: A flat Box (MLP) or an image (H, W, C) (CNN).
        action_space: See `action_dist_cls`.
        model_config_dict: Options of `DefaultModelConfig`.
        state_space: Privileged observations of the critic, if there are any.

    Raises:
        UnsupportedSpaceError: No built-in network sees such observations.
        ConfigError: There is no such option.

    Attributes:
        options: The options, typed.
        encoder_config: The network that sees the observations.
        latent_dims: Shape of its features of one row.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any] | None,
        action_space: gym.Space[Any] | None,
        model_config_dict: Mapping[str, Any],
        state_space: gym.Space[Any] | None = None,
    ) -> None:
        self.observation_space = observation_space
        self.action_space = action_space
        self.state_space = state_space
        self.model_config_dict = dict(model_config_dict)
        self.options = DefaultModelConfig.from_dict(model_config_dict)
        self._determine_components_hook()

    @OverrideToImplementCustomLogic
    def _determine_components_hook(self) -> None:
        """Choose the components; a subclass may choose others."""
        self.encoder_config = self.get_encoder_config(self.observation_space, self.options)
        self.latent_dims = self.encoder_config.output_dims

    @OverrideToImplementCustomLogic
    def build_encoder(self, framework: str) -> Any:
        """Return the encoder in a framework.

        Raises:
            ValueError: No installed backend has this name.
        """
        return self.encoder_config.build(framework)

    @OverrideToImplementCustomLogic
    def get_action_dist_cls(self, framework: str | None) -> type[Distribution]:
        """Return the class of action distributions in a framework; None means NumPy.

        Raises:
            ValueError: No installed backend has this name, or there is no action space.
            UnsupportedSpaceError: No distribution serves the action space.
        """
        if self.action_space is None:
            raise ValueError("a catalog without action space has no action distribution")
        squash = self.options.squash_actions
        return action_dist_cls(self.action_space, array_ops(framework), squash=squash)

    @classmethod
    def get_encoder_config(
        cls, space: gym.Space[Any] | None, options: DefaultModelConfig
    ) -> ModelConfig:
        """Return the network that sees observations of a space.

        Raises:
            UnsupportedSpaceError: There is none.
        """
        tokenizer = cls.get_tokenizer_config(space, options)
        if not options.use_lstm:
            return tokenizer
        return RecurrentEncoderConfig(
            tokenizer_config=tokenizer,
            recurrent_layer_type=options.lstm_cell,
            hidden_dim=options.lstm_cell_size,
            num_layers=options.lstm_num_layers,
            initialiser=options.initialiser,
        )

    @classmethod
    def get_tokenizer_config(
        cls, space: gym.Space[Any] | None, options: DefaultModelConfig
    ) -> ModelConfig:
        """Return the network that sees one observation of a space.

        Raises:
            UnsupportedSpaceError: There is none.
        """
        rank = len(space.shape or ()) if isinstance(space, spaces.Box) else 0
        if isinstance(space, spaces.Box) and rank == 1:
            return MLPEncoderConfig(
                input_dims=space.shape,
                hidden_layer_dims=tuple(options.fcnet_hiddens),
                hidden_layer_activation=options.fcnet_activation,
                hidden_layer_use_layernorm=options.fcnet_use_layernorm,
                initialiser=options.initialiser,
            )
        if isinstance(space, spaces.Box) and rank == 3:
            filters: dict[str, Any] = {}
            if options.conv_filters is not None:
                filters["cnn_filter_specifiers"] = options.conv_filters
            return CNNEncoderConfig(
                input_dims=space.shape,
                cnn_activation=options.conv_activation,
                input_scale=1 / 255 if space.dtype == "uint8" else 1.0,
                initialiser=options.initialiser,
                **filters,
            )
        raise UnsupportedSpaceError(
            f"no built-in network sees observations of {space}: flatten them "
            "(gymnasium.wrappers.FlattenObservation), or override `get_tokenizer_config`"
        )
