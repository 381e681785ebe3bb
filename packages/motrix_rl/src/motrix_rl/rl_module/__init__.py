"""Modules: policies, and what is trained with them, behind one interface for every framework.

The story in reading order: `columns`, `config`, `spec`, `module`, `multi`, then `ppo` as an example
of a module, `checkpointable` and `folders` for the way to disk, `networks` and `catalog` for what
networks look like. `motrix_rl_torch.rl_module` and `motrix_rl_jax.rl_module` fill it with life.
"""

from motrix_rl.rl_module.aliases import ModuleID, StateDict
from motrix_rl.rl_module.annotations import (
    Deprecated,
    ExperimentalAPI,
    OverrideToImplementCustomLogic,
    OverrideToImplementCustomLogic_CallToSuperRecommended,
    PublicAPI,
    override,
)
from motrix_rl.rl_module.apis import (
    InferenceOnlyAPI,
    NormalizerAPI,
    TargetNetworkAPI,
    ValueFunctionAPI,
)
from motrix_rl.rl_module.catalog import Catalog
from motrix_rl.rl_module.checkpointable import Checkpointable
from motrix_rl.rl_module.checks import (
    SpecDict,
    TensorSpec,
    TypeSpec,
    check_input_specs,
    check_output_specs,
    convert_to_canonical_format,
)
from motrix_rl.rl_module.class_paths import deserialize_type, serialize_type
from motrix_rl.rl_module.columns import DEFAULT_MODULE_ID, Columns
from motrix_rl.rl_module.config import RLModuleConfig
from motrix_rl.rl_module.distributions import Distribution
from motrix_rl.rl_module.errors import (
    DeprecatedNameError,
    SpecCheckingError,
    StateMismatchError,
    UnsupportedSpaceError,
    UntrustedClassError,
)
from motrix_rl.rl_module.model_config import DefaultModelConfig
from motrix_rl.rl_module.module import RLModule
from motrix_rl.rl_module.multi import MultiRLModule, MultiRLModuleConfig
from motrix_rl.rl_module.multi_spec import MultiRLModuleSpec
from motrix_rl.rl_module.numpy_module import NumpyRLModule, PPONumpyRLModule
from motrix_rl.rl_module.ppo import PPOCatalog, PPORLModule
from motrix_rl.rl_module.spaces import gym_space_from_dict, gym_space_to_dict
from motrix_rl.rl_module.spec import RLModuleSpec
from motrix_rl.rl_module.states import StateReport
from motrix_rl.rl_module.views import ViewRequirement

__all__ = [
    "DEFAULT_MODULE_ID",
    "Catalog",
    "Checkpointable",
    "Columns",
    "DefaultModelConfig",
    "Deprecated",
    "DeprecatedNameError",
    "Distribution",
    "ExperimentalAPI",
    "InferenceOnlyAPI",
    "ModuleID",
    "MultiRLModule",
    "MultiRLModuleConfig",
    "MultiRLModuleSpec",
    "NormalizerAPI",
    "NumpyRLModule",
    "OverrideToImplementCustomLogic",
    "OverrideToImplementCustomLogic_CallToSuperRecommended",
    "PPOCatalog",
    "PPONumpyRLModule",
    "PPORLModule",
    "PublicAPI",
    "RLModule",
    "RLModuleConfig",
    "RLModuleSpec",
    "SpecCheckingError",
    "SpecDict",
    "StateDict",
    "StateMismatchError",
    "StateReport",
    "TargetNetworkAPI",
    "TensorSpec",
    "TypeSpec",
    "UnsupportedSpaceError",
    "UntrustedClassError",
    "ValueFunctionAPI",
    "ViewRequirement",
    "check_input_specs",
    "check_output_specs",
    "convert_to_canonical_format",
    "deserialize_type",
    "gym_space_from_dict",
    "gym_space_to_dict",
    "override",
    "serialize_type",
]
