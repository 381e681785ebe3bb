"""`RLModule`: a policy, and whatever is trained with it, behind one interface.

A subclass creates its parts in `setup()` and says in `_forward_inference`, `_forward_exploration`
and `_forward_train` what goes out for a batch that comes in. A framework's base class
(`TorchRLModule`, `FlaxRLModule`) stands between this one and yours.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from numpy.typing import NDArray

from motrix_rl.rl_module.acting import act
from motrix_rl.rl_module.aliases import Batch, ViewRequirements
from motrix_rl.rl_module.annotations import (
    Deprecated,
    OverrideToImplementCustomLogic,
    OverrideToImplementCustomLogic_CallToSuperRecommended,
    PublicAPI,
)
from motrix_rl.rl_module.apis import InferenceOnlyAPI
from motrix_rl.rl_module.checks import (
    check_input_specs,
    check_output_specs,
    convert_to_canonical_format,
)
from motrix_rl.rl_module.columns import DEFAULT_MODULE_ID, Columns
from motrix_rl.rl_module.config import RLModuleConfig
from motrix_rl.rl_module.construction import call_post_init_last, calls_post_init
from motrix_rl.rl_module.model_config import MAX_SEQ_LEN
from motrix_rl.rl_module.module_state import ModuleState
from motrix_rl.rl_module.views import ViewRequirement, space_of_arrays

if TYPE_CHECKING:
    from motrix_rl.rl_module.catalog import Catalog
    from motrix_rl.rl_module.distributions import Distribution
    from motrix_rl.rl_module.multi import MultiRLModule
    from motrix_rl.rl_module.networks import ModelConfig


@PublicAPI(stability="alpha")
class RLModule(ModuleState, abc.ABC):
    """Base class of all modules.

    Args:
        config: What the module is made from; or give its fields as keywords instead.
        observation_space: See `RLModuleConfig`, as the ones below.
        action_space: See `RLModuleConfig`.
        inference_only: See `RLModuleConfig`.
        learner_only: See `RLModuleConfig`.
        model_config: `RLModuleConfig.model_config_dict`.
        catalog_class: See `RLModuleConfig`.
        state_space: See `RLModuleConfig`.

    Raises:
        TypeError: Both a config and keywords are given.
        ValueError: `inference_only` and `learner_only` together.
        RuntimeError: The constructor runs twice: base classes are in the wrong order.
    """

    framework: str | None = None
    """`"torch"`, `"jax"`, or None for a module that needs neither."""

    catalog: Catalog | None = None

    @call_post_init_last
    def __init__(
        self,
        config: RLModuleConfig | None = None,
        *,
        observation_space: gym.Space[Any] | None = None,
        action_space: gym.Space[Any] | None = None,
        inference_only: bool = False,
        learner_only: bool = False,
        model_config: Mapping[str, Any] | None = None,
        catalog_class: type[Catalog] | None = None,
        state_space: gym.Space[Any] | None = None,
    ) -> None:
        given = RLModuleConfig(
            observation_space,
            action_space,
            inference_only,
            learner_only,
            dict(model_config or {}),
            catalog_class,
            state_space,
        )
        if config is not None and given != RLModuleConfig():
            raise TypeError("give a config or keywords, not both")
        self.config = given if config is None else config
        if self.config.inference_only and self.config.learner_only:
            raise ValueError("`inference_only` and `learner_only` exclude each other: choose one")
        if self.__dict__.get("_is_setup"):
            raise RuntimeError(
                f"the constructor of {type(self).__name__} ran `RLModule.__init__` twice. Put the "
                "framework's base class first (TorchRLModule before PPORLModule) and call "
                "`super().__init__(...)` once."
            )
        if self.config.catalog_class is not None:
            self.catalog = self.config.get_catalog()
        self.setup()
        if self.config.inference_only and isinstance(self, InferenceOnlyAPI):
            for name in self.get_non_inference_attributes():
                self._remove_part(name)
        self._is_setup = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__ and not calls_post_init(cls.__init__):
            cls.__init__ = call_post_init_last(cls.__init__)  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Run once, after the outermost constructor; keeps the specs in canonical form."""
        self._input_specs_train = convert_to_canonical_format(self.input_specs_train())
        self._output_specs_train = convert_to_canonical_format(self.output_specs_train())
        self._input_specs_exploration = convert_to_canonical_format(self.input_specs_exploration())
        self._output_specs_exploration = convert_to_canonical_format(
            self.output_specs_exploration()
        )
        self._input_specs_inference = convert_to_canonical_format(self.input_specs_inference())
        self._output_specs_inference = convert_to_canonical_format(self.output_specs_inference())

    # What it was made from

    @property
    def observation_space(self) -> gym.Space[Any] | None:
        """What the module sees."""
        return self.config.observation_space

    @property
    def action_space(self) -> gym.Space[Any] | None:
        """What it decides on."""
        return self.config.action_space

    @property
    def inference_only(self) -> bool:
        """Whether the parts that acting does not need are left out."""
        return self.config.inference_only

    @property
    def learner_only(self) -> bool:
        """Whether the module is only for training."""
        return self.config.learner_only

    @property
    def model_config(self) -> dict[str, Any]:
        """Sizes and kinds of networks, as they were given."""
        return self.config.model_config_dict

    # What a subclass defines

    @OverrideToImplementCustomLogic
    def setup(self) -> None:
        """Create the parts of the module; runs once, inside the constructor."""
        return

    @OverrideToImplementCustomLogic
    def get_train_action_dist_cls(self) -> type[Distribution] | None:
        """Return the class that makes a distribution of `forward_train`'s output, or None."""
        raise NotImplementedError(f"{type(self).__name__} has no action distribution")

    @OverrideToImplementCustomLogic
    def get_exploration_action_dist_cls(self) -> type[Distribution] | None:
        """Return the class that makes a distribution of `forward_exploration`'s output, or None."""
        raise NotImplementedError(f"{type(self).__name__} has no action distribution")

    @OverrideToImplementCustomLogic
    def get_inference_action_dist_cls(self) -> type[Distribution] | None:
        """Return the class that makes a distribution of `forward_inference`'s output, or None."""
        raise NotImplementedError(f"{type(self).__name__} has no action distribution")

    @OverrideToImplementCustomLogic
    def get_initial_state(self) -> Any:
        """Return the state at the start of an episode, without batch axis; `{}` if stateless."""
        return {}

    @OverrideToImplementCustomLogic
    def is_stateful(self) -> bool:
        """Tell whether the module carries a state from step to step.

        Raises:
            TypeError: The initial state is no dictionary.
        """
        state = self.get_initial_state()
        if not isinstance(state, dict):
            raise TypeError(f"an initial state is a dict, not a {type(state).__name__}")
        return bool(state)

    @OverrideToImplementCustomLogic
    def update_default_view_requirements(self, defaults: ViewRequirements) -> ViewRequirements:
        """Add to view requirements what this module wants to see.

        Args:
            defaults: Requirements by column; changed in place and returned.
        """
        if self.is_stateful():
            _require_state(defaults, self.to_numpy(self.get_initial_state()), self.model_config)
        return defaults

    # Specs

    @OverrideToImplementCustomLogic_CallToSuperRecommended
    def input_specs_inference(self) -> Any:
        """Return what `forward_inference` takes."""
        return self._default_input_specs()

    @OverrideToImplementCustomLogic_CallToSuperRecommended
    def input_specs_exploration(self) -> Any:
        """Return what `forward_exploration` takes."""
        return self._default_input_specs()

    @OverrideToImplementCustomLogic_CallToSuperRecommended
    def input_specs_train(self) -> Any:
        """Return what `forward_train` takes."""
        return self._default_input_specs()

    @OverrideToImplementCustomLogic_CallToSuperRecommended
    def output_specs_inference(self) -> Any:
        """Return what `forward_inference` gives."""
        return [Columns.ACTION_DIST_INPUTS]

    @OverrideToImplementCustomLogic_CallToSuperRecommended
    def output_specs_exploration(self) -> Any:
        """Return what `forward_exploration` gives."""
        return [Columns.ACTION_DIST_INPUTS]

    @OverrideToImplementCustomLogic_CallToSuperRecommended
    def output_specs_train(self) -> Any:
        """Return what `forward_train` gives."""
        return {}

    def _default_input_specs(self) -> Any:
        return [Columns.OBS]

    # Forward passes

    @check_input_specs("_input_specs_inference")
    @check_output_specs("_output_specs_inference")
    def forward_inference(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        """Return what acting needs, where nothing is to be learnt from it.

        Override `_forward_inference`, not this.

        Args:
            batch: As `input_specs_inference` says.
            **kwargs: Passed on.

        Raises:
            SpecCheckingError: Input or output is not as declared.
        """
        return self._forward_inference(batch, **kwargs)

    @check_input_specs("_input_specs_exploration")
    @check_output_specs("_output_specs_exploration")
    def forward_exploration(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        """Return what acting needs while collecting data for training.

        Override `_forward_exploration`, not this.

        Args:
            batch: As `input_specs_exploration` says.
            **kwargs: Passed on.

        Raises:
            SpecCheckingError: Input or output is not as declared.
        """
        return self._forward_exploration(batch, **kwargs)

    @check_input_specs("_input_specs_train")
    @check_output_specs("_output_specs_train")
    def forward_train(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        """Return what a loss needs.

        Override `_forward_train`, not this.

        Args:
            batch: As `input_specs_train` says.
            **kwargs: Passed on.

        Raises:
            RuntimeError: The module is for inference only.
            SpecCheckingError: Input or output is not as declared.
        """
        if self.config.inference_only:
            raise RuntimeError(
                "this module is for inference only and has no parts to train: build it with "
                "inference_only=False"
            )
        return self._forward_train(batch, **kwargs)

    @abc.abstractmethod
    def _forward_inference(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        """See `forward_inference`."""

    @abc.abstractmethod
    def _forward_exploration(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        """See `forward_exploration`."""

    @abc.abstractmethod
    def _forward_train(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        """See `forward_train`."""

    def act(
        self, obs: Any, state: Any = None, *, deterministic: bool = True, rng: Any = None
    ) -> tuple[Any, Any]:
        """Return actions for observations, NumPy in and NumPy out; see `acting.act`."""
        return act(self, obs, state, deterministic=deterministic, rng=rng)

    # What a framework's base class defines

    def to_tensor(self, array: Any) -> Any:
        """Return (nested) NumPy arrays as the framework's tensors."""
        return array

    def to_numpy(self, tensor: Any) -> Any:
        """Return (nested) tensors as NumPy arrays."""
        return tensor

    def add_network(self, name: str, config: ModelConfig, seed: int | None = None) -> None:
        """Create a network under a name, with initial weights that follow from the seed.

        Args:
            name: Attribute, and branch of the state.
            config: The network as data.
            seed: Equal seeds give equal weights in every framework; None draws one.
        """
        raise NotImplementedError(f"{type(self).__name__} makes no networks")

    def run_network(self, path: str, *inputs: Any) -> Any:
        """Return what a network, or a part of it such as `"encoder.actor"`, makes of inputs."""
        raise NotImplementedError(f"{type(self).__name__} runs no networks")

    def write_buffer(self, path: str, array: NDArray[Any]) -> None:
        """Create or replace an array that belongs to the state but is not trained."""
        raise NotImplementedError(f"{type(self).__name__} has no buffers")

    def read_buffer(self, path: str) -> Any:
        """Return a buffer as a float32 tensor."""
        raise NotImplementedError(f"{type(self).__name__} has no buffers")

    def _remove_part(self, name: str) -> None:
        """Delete an attribute by its dotted name; its owner is found first, so nested ones go."""
        *owners, last = name.split(".")
        owner: Any = self
        for part in owners:
            owner = getattr(owner, part)
        delattr(owner, last)

    def _spec_checks_off(self) -> bool:
        """Tell whether specs go unchecked right now, as when a framework compiles the module."""
        return False

    # Relatives

    def as_multi_rl_module(self) -> MultiRLModule:
        """Return a `MultiRLModule` that holds this very module under `DEFAULT_MODULE_ID`."""
        from motrix_rl.rl_module.multi import MultiRLModule

        multi = MultiRLModule()
        multi.add_module(DEFAULT_MODULE_ID, self)
        return multi

    def unwrapped(self) -> RLModule:
        """Return the module inside a wrapper; itself, if it is none."""
        return self

    @Deprecated(new="RLModule.as_multi_rl_module()")
    def as_multi_agent(self, *args: Any, **kwargs: Any) -> None:
        """Gone."""

    @Deprecated(new="RLModule.save_to_path(...)")
    def save_state(self, *args: Any, **kwargs: Any) -> None:
        """Gone."""

    @Deprecated(new="RLModule.restore_from_path(...)")
    def load_state(self, *args: Any, **kwargs: Any) -> None:
        """Gone."""

    @Deprecated(new="RLModule.save_to_path(...)")
    def save_to_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Gone."""


def _require_state(
    defaults: ViewRequirements, state: Mapping[str, Any], model_config: Mapping[str, Any]
) -> None:
    """Require the recurrent state, and the previous action and reward where they are wanted."""
    space = space_of_arrays(state)
    defaults[Columns.STATE_IN] = ViewRequirement(
        data_col=Columns.STATE_OUT,
        shift=-1,
        batch_repeat_value=int(model_config.get("max_seq_len", MAX_SEQ_LEN)),
        space=space,
    )
    previous = {
        Columns.PREV_ACTIONS: ("lstm_use_prev_action", Columns.ACTIONS),
        Columns.PREV_REWARDS: ("lstm_use_prev_reward", Columns.REWARDS),
    }
    for column, (option, source) in previous.items():
        if model_config.get(option, False):
            defaults[column] = ViewRequirement(data_col=source, shift=-1)
    defaults[Columns.STATE_OUT] = ViewRequirement(
        data_col=Columns.STATE_OUT, used_for_compute_actions=False, space=space
    )
