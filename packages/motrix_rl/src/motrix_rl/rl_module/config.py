"""`RLModuleConfig`: what a module's constructor gets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module.annotations import ExperimentalAPI
from motrix_rl.rl_module.class_paths import deserialize_type, serialize_type
from motrix_rl.rl_module.documents import decode, encode
from motrix_rl.rl_module.spaces import gym_space_from_dict, gym_space_to_dict

if TYPE_CHECKING:
    from motrix_rl.rl_module.catalog import Catalog


@ExperimentalAPI
@dataclass
class RLModuleConfig:
    """What a module is made from.

    Args:
        observation_space: What the module sees; not always what the environment gives.
        action_space: What it decides on.
        inference_only: Leave out the parts that acting does not need.
        learner_only: Only for training, never built where actions are computed.
        model_config_dict: Sizes and kinds of networks; see `DefaultModelConfig`.
        catalog_class: What makes networks and distributions from all this.
        state_space: Privileged observations of the critic, if there are any.
    """

    observation_space: gym.Space[Any] | None = None
    action_space: gym.Space[Any] | None = None
    inference_only: bool = False
    learner_only: bool = False
    model_config_dict: dict[str, Any] = field(default_factory=dict)
    catalog_class: type[Catalog] | None = None
    state_space: gym.Space[Any] | None = None

    def get_catalog(self) -> Catalog:
        """Return a new catalog.

        Raises:
            ValueError: There is no catalog class.
        """
        if self.catalog_class is None:
            raise ValueError("this config has no catalog: set `catalog_class`")
        return self.catalog_class(
            observation_space=self.observation_space,
            action_space=self.action_space,
            model_config_dict=self.model_config_dict,
            state_space=self.state_space,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the config as JSON.

        Raises:
            ValueError: A space or a value of the model config has no JSON form.
        """
        return {
            "observation_space": gym_space_to_dict(self.observation_space),
            "action_space": gym_space_to_dict(self.action_space),
            "state_space": gym_space_to_dict(self.state_space),
            "inference_only": self.inference_only,
            "learner_only": self.learner_only,
            "model_config_dict": encode(self.model_config_dict),
            "catalog_class_path": serialize_type(self.catalog_class) if self.catalog_class else "",
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], trusted: Collection[str] = ()) -> RLModuleConfig:
        """Return the config that `to_dict` wrote.

        Args:
            d: The JSON document.
            trusted: Further packages from which a class may come.

        Raises:
            KeyError: A key is missing.
            CheckpointError: A value is damaged, or the catalog must not be loaded.
        """
        from motrix_rl.rl_module.catalog import Catalog

        path, model_config = d["catalog_class_path"], decode(d["model_config_dict"], trusted)
        if not isinstance(model_config, dict):
            raise CheckpointError("damaged config: model_config_dict is no mapping")
        return cls(
            observation_space=gym_space_from_dict(d["observation_space"]),
            action_space=gym_space_from_dict(d["action_space"]),
            state_space=gym_space_from_dict(d.get("state_space")),
            inference_only=bool(d["inference_only"]),
            learner_only=bool(d["learner_only"]),
            model_config_dict=model_config,
            catalog_class=None if path == "" else deserialize_type(path, Catalog, trusted),
        )
