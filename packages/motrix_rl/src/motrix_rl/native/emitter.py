"""What kernels are written with: counted loops, and vectors of floats in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

FLOAT, INDEX, POINTER = ir.FloatType(), ir.IntType(64), ir.PointerType()

_LANE = _SHORT = ir.IntType(32)

Value = Any
"""A value of the function that is being written: an `ir.Value`."""
Index = Value | int
"""A number of things: known now, or a value of the function."""


class Source:
    """Functions that belong together, while they are written.

    Attributes:
        module: What LLVM compiles.
        arguments: Names of what each function takes, in order.
    """

    def __init__(self) -> None:
        self.module = ir.Module()
        self.arguments: dict[str, tuple[str, ...]] = {}


class Emitter:
    """Writes one function, which finds its arguments in a block of 64-bit words.

    Args:
        source: Where the function goes.
        name: What it is called.
        pointers: Names of those arguments that are addresses of floats.
        numbers: Names of those that count things.
        lanes: Floats in a vector.

    Attributes:
        arguments: What it takes, by name.
        lanes: As given.
        build: The builder, for single operations.
    """

    def __init__(
        self,
        source: Source,
        name: str,
        pointers: Sequence[str],
        numbers: Sequence[str] = (),
        lanes: int = 1,
    ) -> None:
        self._module = source.module
        kind = ir.FunctionType(ir.VoidType(), [POINTER])
        function = ir.Function(source.module, kind, name)
        self._variables = ir.IRBuilder(function.append_basic_block("variables"))
        self.build = ir.IRBuilder(function.append_basic_block("body"))
        self._start = self.build.block
        self.lanes, self._vector = lanes, ir.VectorType(FLOAT, lanes)
        self._kinds: dict[Value, ir.Type] = {}
        words = [self.word(function.args[0], i) for i in range(len(pointers) + len(numbers))]
        addresses = [self.pointer(word) for word in words[: len(pointers)]]
        names = source.arguments[name] = (*pointers, *numbers)
        self.arguments = dict(zip(names, (*addresses, *words[len(pointers) :]), strict=True))

    def finish(self) -> None:
        """End the function."""
        self.build.ret_void()
        self._variables.branch(self._start)

    # Numbers and loops

    def index(self, number: Index) -> Value:
        """Return a number of things as a value."""
        return INDEX(number) if isinstance(number, int) else number

    def plus(self, a: Index, b: Index) -> Index:
        """Return a + b."""
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        return self.build.add(self.index(a), self.index(b))

    def times(self, a: Index, b: Index) -> Index:
        """Return a * b."""
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        return self.build.mul(self.index(a), self.index(b))

    def whole(self, number: Index, size: int) -> Index:
        """Return the greatest multiple of a size that is not above a number."""
        if isinstance(number, int):
            return number // size * size
        return self.build.sub(number, self.build.urem(number, INDEX(size)))

    def smaller(self, a: Index, b: Index) -> Value:
        """Return the smaller one of two numbers."""
        a, b = self.index(a), self.index(b)
        return self.build.select(self.build.icmp_unsigned("<", a, b), a, b)

    @contextmanager
    def loop(self, start: Index, stop: Index, step: int = 1) -> Iterator[Value]:
        """Write the body of a loop once; what it is given counts from `start` below `stop`."""
        counter = self.variable(self.index(start))
        head, body, done = (self.build.append_basic_block(n) for n in ("head", "body", "done"))
        self.build.branch(head)
        self.build.position_at_end(head)
        count = self.get(counter)
        going = self.build.icmp_unsigned("<", count, self.index(stop))
        self.build.cbranch(going, body, done)
        self.build.position_at_end(body)
        yield count
        self.set(counter, self.build.add(count, INDEX(step)))
        self.build.branch(head)
        self.build.position_at_end(done)

    def call(self, function: Value, block: Value) -> None:
        """Call the function at an address, given the block of its arguments."""
        kind = ir.FunctionType(ir.VoidType(), [POINTER])
        self.build.call(self.build.inttoptr(function, kind.as_pointer()), [block])

    # Variables, which optimisation keeps in registers

    def variable(self, value: Value) -> Value:
        """Return a new variable with a value."""
        variable = self._variables.alloca(value.type)
        self._kinds[variable] = value.type
        self.set(variable, value)
        return variable

    def get(self, variable: Value) -> Value:
        """Return the value of a variable."""
        return self.build.load(variable, typ=self._kinds[variable])

    def set(self, variable: Value, value: Value) -> None:
        """Change the value of a variable."""
        self.build.store(value, variable)

    def add(self, variable: Value, value: Value) -> None:
        """Add a vector to a variable."""
        self.set(variable, self.build.fadd(self.get(variable), value))

    # Memory

    def at(self, pointer: Value, *offsets: Index) -> Value:
        """Return a pointer so many floats further."""
        for offset in offsets:
            if not (isinstance(offset, int) and offset == 0):
                pointer = self.build.gep(pointer, [self.index(offset)], source_etype=FLOAT)
        return pointer

    def word(self, pointer: Value, number: Index) -> Value:
        """Return one of the 64-bit words at a pointer."""
        place = self.build.gep(pointer, [self.index(number)], source_etype=INDEX)
        return self.build.load(place, typ=INDEX)

    def short(self, pointer: Value, number: Index) -> Value:
        """Return one of the 32-bit integers at a pointer."""
        place = self.build.gep(pointer, [self.index(number)], source_etype=_SHORT)
        return self.build.sext(self.build.load(place, typ=_SHORT), INDEX)

    def pointer(self, address: Value) -> Value:
        """Return an address as a pointer."""
        return self.build.inttoptr(address, POINTER)

    def load(self, pointer: Value) -> Value:
        """Return the vector at a pointer."""
        return self.build.load(pointer, typ=self._vector, align=4)

    def store(self, value: Value, pointer: Value) -> None:
        """Write a vector to a pointer."""
        self.build.store(value, pointer, align=4)

    def load_one(self, pointer: Value) -> Value:
        """Return the float at a pointer in all lanes."""
        return self.splat(self.read(pointer))

    def read(self, pointer: Value) -> Value:
        """Return the single float at a pointer."""
        return self.build.load(pointer, typ=FLOAT, align=4)

    def write(self, value: Value, pointer: Value) -> None:
        """Write a single float to a pointer."""
        self.build.store(value, pointer, align=4)

    # Vectors

    @property
    def zero(self) -> Value:
        """0 in all lanes."""
        return self.number(0.0)

    def number(self, value: float) -> Value:
        """Return a number in all lanes."""
        single = struct.unpack("f", struct.pack("f", value))[0]
        return ir.Constant(self._vector, [single] * self.lanes)

    def splat(self, value: Value) -> Value:
        """Return a single float in all lanes."""
        nothing = ir.Constant(self._vector, ir.Undefined)
        one = self.build.insert_element(nothing, value, _LANE(0))
        lanes = ir.Constant(ir.VectorType(_LANE, self.lanes), [0] * self.lanes)
        return self.build.shuffle_vector(one, nothing, lanes)

    def first(self, x: Value) -> Value:
        """Return what is in the first lane, a single float."""
        return self.build.extract_element(x, _LANE(0))

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """Return a b + c, rounded once where the processor can."""
        return self._intrinsic("fmuladd", a, b, c)

    def root(self, x: Value) -> Value:
        """Return square roots."""
        return self._intrinsic("sqrt", x)

    def _intrinsic(self, operation: str, *operands: Value) -> Value:
        kind = ir.FunctionType(self._vector, [self._vector] * len(operands))
        name = f"llvm.{operation}.v{self.lanes}f32"
        function = self._module.globals.get(name) or ir.Function(self._module, kind, name)
        return self.build.call(function, operands)

    def negative(self, x: Value) -> Value:
        """Return -x."""
        return self.build.fneg(x)

    def minimum(self, a: Value, b: Value) -> Value:
        """Return the smaller ones; `a` where one is not a number."""
        return self.build.select(self.build.fcmp_ordered("<", b, a), b, a)

    def maximum(self, a: Value, b: Value) -> Value:
        """Return the greater ones; `a` where one is not a number."""
        return self.build.select(self.build.fcmp_ordered(">", b, a), b, a)

    def within(self, x: Value, low: Value, high: Value) -> Value:
        """Return numbers cut off at both ends; what is no number stays so."""
        return self.minimum(self.maximum(x, low), high)

    def rounded(self, x: Value) -> Value:
        """Return whole numbers, of those below 2^22."""
        # Beyond 2^23 float32 has no digits left after the point: adding rounds, subtracting
        # brings the number back.
        large = self.number(1.5 * 2**23)
        return self.build.fsub(self.build.fadd(x, large), large)

    def power_of_two(self, n: Value) -> Value:
        """Return 2^n of whole numbers from -126 to 127, by the bits of the exponent."""
        whole = ir.VectorType(ir.IntType(32), self.lanes)
        offset, shift = (ir.Constant(whole, [bits] * self.lanes) for bits in (127, 23))
        exponent = self.build.add(self.build.fptosi(n, whole), offset)
        return self.build.bitcast(self.build.shl(exponent, shift), self._vector)

    def sum(self, x: Value) -> Value:
        """Return the sum over the lanes of a vector, a single float."""
        while (half := x.type.count // 2) >= 1:
            low, high = (
                ir.Constant(ir.VectorType(_LANE, half), list(range(first, first + half)))
                for first in (0, half)
            )
            x = self.build.fadd(
                self.build.shuffle_vector(x, x, low), self.build.shuffle_vector(x, x, high)
            )
        return self.first(x)
