"""`DefaultModelConfig`: the model config, typed, with the names that RLlib users know."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from motrix_envs.errors import ConfigError, did_you_mean

MAX_SEQ_LEN = 20
"""Length of the sequences that a recurrent module is trained on, unless configured."""

Activation = Literal["linear", "relu", "tanh", "elu", "silu", "gelu"]


@dataclass
class DefaultModelConfig:
    """Sizes and kinds of networks; a `model_config_dict` has some of these as keys."""

    fcnet_hiddens: list[int] = field(default_factory=lambda: [256, 256])
    """Widths of the hidden layers of an MLP encoder; also goes by `hidden`."""
    vf_fcnet_hiddens: list[int] | None = None
    """The same for a critic with an encoder of its own; None takes `fcnet_hiddens`."""
    fcnet_activation: Activation = "tanh"
    fcnet_use_layernorm: bool = False
    post_fcnet_hiddens: list[int] = field(default_factory=list)
    """Widths of further hidden layers, inside the heads."""
    post_fcnet_activation: Activation = "relu"
    conv_filters: list[list[Any]] | None = None
    """Per layer: filters, kernel size, stride and, if not `"same"`, padding `"valid"`."""
    conv_activation: Activation = "relu"
    free_log_std: bool = False
    """A Gaussian's log-std is a free vector instead of an output of the network."""
    initial_log_std: float = 0.0
    """Where the free vector starts."""
    squash_actions: bool = False
    """Bound actions by tanh (a squashed Gaussian) instead of clipping them."""
    vf_share_layers: bool = True
    """Policy and value function share the encoder."""
    use_lstm: bool = False
    lstm_cell: Literal["lstm", "gru"] = "lstm"
    lstm_cell_size: int = 256
    lstm_num_layers: int = 1
    lstm_use_prev_action: bool = False
    lstm_use_prev_reward: bool = False
    max_seq_len: int = MAX_SEQ_LEN
    initialiser: Literal["uniform", "orthogonal"] = "uniform"
    """`"uniform"`: within 1/sqrt(inputs), biases too. `"orthogonal"`: gain sqrt(2) in hidden
    layers, 0.01 in the policy's head, 1 in the value's; biases 0."""
    normalize_observations: bool = False
    """Observations, privileged ones too, are normalised by running moments, which are part of
    the module."""
    seed: int | None = None
    """Initial weights follow from it, the same in every framework; None draws one."""
    custom_model_config: dict[str, Any] = field(default_factory=dict)
    """Anything that a module of yours wants to know."""

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> DefaultModelConfig:
        """Return the config with these options set.

        Raises:
            ConfigError: There is no such option, or `hidden` comes together with `fcnet_hiddens`.
        """
        options = dict(options)
        if "hidden" in options:
            if "fcnet_hiddens" in options:
                raise ConfigError("`hidden` and `fcnet_hiddens` mean the same: give one")
            options["fcnet_hiddens"] = options.pop("hidden")
        known = {option.name for option in dataclasses.fields(cls)}
        for name in options:
            if name not in known:
                raise ConfigError(
                    f"no model option '{name}'.{did_you_mean(str(name), known)} What only your own "
                    "module knows goes into `custom_model_config`."
                )
        return cls(**options)
