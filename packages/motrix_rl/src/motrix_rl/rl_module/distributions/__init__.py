"""Action distributions, written once for every framework.

The formulas stand here; what differs between NumPy, torch and JAX is a handful of operations
(`ArrayOps`). A backend binds the classes to its own and exports them under the same names.
"""

from motrix_rl.rl_module.distributions.base import Distribution
from motrix_rl.rl_module.distributions.categorical import Categorical, MultiCategorical
from motrix_rl.rl_module.distributions.choice import action_dist_cls
from motrix_rl.rl_module.distributions.gaussian import DiagGaussian, SquashedGaussian
from motrix_rl.rl_module.distributions.multi import MultiDistribution
from motrix_rl.rl_module.distributions.ops import ArrayOps, NumpyOps, bound
from motrix_rl.rl_module.distributions.point import Deterministic

__all__ = [
    "ArrayOps",
    "Categorical",
    "Deterministic",
    "DiagGaussian",
    "Distribution",
    "MultiCategorical",
    "MultiDistribution",
    "NumpyOps",
    "SquashedGaussian",
    "action_dist_cls",
    "bound",
]
