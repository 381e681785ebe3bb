"""Specs: what a batch must look like, and decorators that check it."""

from motrix_rl.rl_module.checks.canonical import convert_to_canonical_format
from motrix_rl.rl_module.checks.decorators import (
    check_input_specs,
    check_output_specs,
    is_input_decorated,
    is_output_decorated,
)
from motrix_rl.rl_module.checks.specs import Spec, SpecDict, TypeSpec
from motrix_rl.rl_module.checks.tensor_spec import TensorSpec

__all__ = [
    "Spec",
    "SpecDict",
    "TensorSpec",
    "TypeSpec",
    "check_input_specs",
    "check_output_specs",
    "convert_to_canonical_format",
    "is_input_decorated",
    "is_output_decorated",
]
