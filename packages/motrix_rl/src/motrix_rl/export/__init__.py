"""Policies as files that run without Motrix: ONNX, torch programs and StableHLO.

The story in reading order: `policy` is the whole way, `formats` the table of files, `signature`
says what goes in and out, `parity` compares a file with its module. What a framework has to do
stands in `motrix_rl_torch.rl_module.export` and `motrix_rl_jax.rl_module.export`.
"""

from motrix_rl.errors import ExportError
from motrix_rl.export.formats import FORMATS
from motrix_rl.export.policy import ExportedPolicy, export_module

__all__ = ["FORMATS", "ExportError", "ExportedPolicy", "export_module"]
