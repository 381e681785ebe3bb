"""LLVM: the processor at hand, and functions for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from llvmlite import binding

from motrix_rl.native.emitter import Source


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
        """Vectors of a row that a block of a product is wide.

        4 of 32 leave room for six rows of sums, 2 of 16 likewise: loads and multiplications of a
        block take about as long then.
        """
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
    """Functions of a source, compiled; they live as long as this object does.

    Args:
        source: What was written.

    Attributes:
        arguments: Names of what each function takes, in order.
    """

    def __init__(self, source: Source) -> None:
        self.arguments = source.arguments
        target = _target()
        source.module.triple = target.triple
        parsed = binding.parse_assembly(str(source.module))
        parsed.verify()
        options = binding.create_pipeline_tuning_options(speed_level=2)
        # Loops are unrolled, and made of vectors, by hand.
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
        builder = binding.create_pass_builder(target, options)
        builder.getModulePassManager().run(parsed, builder)
        self._engine = binding.create_mcjit_compiler(parsed, target)
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Return where a function is: `void name(int64_t *arguments)`."""
        return int(self._engine.get_function_address(name))
