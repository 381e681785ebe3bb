"""What a module can do beyond acting; a learner asks with `isinstance`."""

from __future__ import annotations

import abc
from typing import Any

from numpy.typing import ArrayLike

from motrix_rl.rl_module.aliases import Batch


class InferenceOnlyAPI(abc.ABC):
    """A module with parts that acting does not need."""

    @abc.abstractmethod
    def get_non_inference_attributes(self) -> list[str]:
        """Return the dotted names of these parts, such as `["vf", "encoder.critic"]`.

        A module built with `inference_only=True` loses them right after `setup()`, and
        `get_state(inference_only=True)` leaves them out.
        """


class ValueFunctionAPI(abc.ABC):
    """A module that estimates state values."""

    @abc.abstractmethod
    def compute_values(self, batch: Batch, embeddings: Any = None) -> Any:
        """Return values.

        Args:
            batch: Observations, (batch, ...), or (batch, time, ...) for a stateful module.
            embeddings: What `forward_train` returned as `Columns.EMBEDDINGS`, if it did; saves
                the encoder a second pass.

        Returns:
            (batch,), or (batch, time).
        """


class NormalizerAPI(abc.ABC):
    """A module that normalises what it sees by running statistics of its own.

    A forward pass reads the statistics; whoever trains the module updates them between rollouts.
    """

    @abc.abstractmethod
    def normalizes(self) -> bool:
        """Tell whether this module does, or was made without."""

    @abc.abstractmethod
    def update_normalizer(self, observations: ArrayLike, states: ArrayLike | None = None) -> None:
        """Take in what was seen.

        Args:
            observations: (n, ...), n > 0.
            states: Privileged observations, (n, state_dim), where there are any.
        """


class TargetNetworkAPI(abc.ABC):
    """A module with slowly following copies of some of its parts."""

    @abc.abstractmethod
    def make_target_networks(self) -> None:
        """Create the copies; they start equal."""

    @abc.abstractmethod
    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Return pairs of a part and its copy."""

    @abc.abstractmethod
    def forward_target(self, batch: Batch) -> dict[str, Any]:
        """Return what `forward_train` would, computed by the copies."""
