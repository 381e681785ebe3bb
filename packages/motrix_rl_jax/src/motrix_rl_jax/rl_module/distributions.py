"""The action distributions, with JAX arrays inside."""

from motrix_rl.rl_module import distributions as _neutral
from motrix_rl.rl_module.distributions import bound

from motrix_rl_jax.rl_module.ops import Ops

Categorical = bound(_neutral.Categorical, Ops)
DiagGaussian = bound(_neutral.DiagGaussian, Ops)
SquashedGaussian = bound(_neutral.SquashedGaussian, Ops)
Deterministic = bound(_neutral.Deterministic, Ops)
MultiCategorical = bound(_neutral.MultiCategorical, Ops)
MultiDistribution = bound(_neutral.MultiDistribution, Ops)
