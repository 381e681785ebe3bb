"""LLVM: from a module to functions that Python calls."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from llvmlite import binding, ir

from motrix_rl.native.emitter import POINTER


@dataclass(frozen=True)
class Processor:
    """What kernels need to know of the processor.

    Attributes:
        name: Its kind, as LLVM spells it.
        lanes: Floats in a vector register.
        registers: How many of these there are.
    """

    name: str
    lanes: int
    registers: int

    @property
    def vectors_at_once(self) -> int:
        """Vectors of a row that a block of a product is wide."""
        return self.registers // 8


@cache
def processor() -> Processor:
    """Return what this machine has: AVX-512, AVX or the 128 bits that everybody has."""
    name, features = binding.get_host_cpu_name(), binding.get_host_cpu_features()
    if features.get("avx512f"):
        return Processor(name, 16, 32)
    if features.get("avx"):
        return Processor(name, 8, 16)
    return Processor(name, 4, 32 if features.get("neon") else 16)


def _target() -> binding.TargetMachine:
    """Return a description of this machine; whoever compiles with it owns it."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
    )


class Compiled:
    """The functions of a module, ready to be called from any thread; the lock of Python is free.

    Args:
        module: What was written.
    """

    def __init__(self, module: ir.Module) -> None:
        target = _target()
        module.triple = target.triple
        parsed = binding.parse_assembly(str(module))
        parsed.verify()
        options = binding.create_pipeline_tuning_options(speed_level=2)
        # Loops are unrolled, and made of vectors, by hand.
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
        builder = binding.create_pass_builder(target, options)
        builder.getModulePassManager().run(parsed, builder)
        self._kinds = {function.name: function.type for function in module.functions}
        self._engine = binding.create_mcjit_compiler(parsed, target)
        self._engine.finalize_object()
        self._signatures = {
            function.name: [argument.type for argument in function.args]
            for function in module.functions
            if not function.is_declaration
        }

    def function(self, name: str) -> Callable[..., None]:
        """Return a function of the module; it lives as long as this object does."""
        kinds = [
            ctypes.c_void_p if kind == POINTER else ctypes.c_int64
            for kind in self._signatures[name]
        ]
        address = self._engine.get_function_address(name)
        return ctypes.CFUNCTYPE(None, *kinds)(address)
