"""Calls of machine code: prepared once, and made one after the other without Python in between."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.native.compiler import Compiled
from motrix_rl.native.emitter import Emitter, Source

_LINE = 64  # bytes of a line of the processor's caches; vectors that cross two take longer

Argument = NDArray[Any] | int


class Call:
    """A function and its arguments.

    Args:
        code: Where the function is.
        name: What it is called.
        **arguments: Arrays of floats, which the call keeps alive, or numbers of things.
    """

    def __init__(self, code: Compiled, name: str, **arguments: Argument) -> None:
        self._code = code
        self._places = {name: place for place, name in enumerate(code.arguments[name])}
        self._kept: dict[str, NDArray[Any]] = {}
        self._block = np.zeros(len(self._places), np.int64)
        self.entry = code.address(name), self._block.ctypes.data
        self.set(**arguments)

    def set(self, **arguments: Argument) -> None:
        """Change some of the arguments."""
        for name, value in arguments.items():
            if isinstance(value, np.ndarray):
                self._kept[name], value = value, value.ctypes.data
            self._block[self._places[name]] = value


class Program:
    """Calls in order, without the lock of the interpreter.

    Args:
        *calls: Their arguments may change between two runs.
    """

    def __init__(self, *calls: Call) -> None:
        self._calls = calls
        self._table = np.array([call.entry for call in calls], np.int64)
        self._call = Call(_runner(), "run", table=self._table, words=self._table.size)
        address, self._block = self._call.entry
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)

    def run(self) -> None:
        """Make the calls."""
        self._run(self._block)


@cache
def _runner() -> Compiled:
    """Return `run`, which makes the calls of a table: functions, each with its block."""
    source = Source()
    e = Emitter(source, "run", ("table",), ("words",))
    table = e.arguments["table"]
    with e.loop(0, e.arguments["words"], 2) as word:
        function, block = (e.word(table, e.plus(word, i)) for i in range(2))
        e.call(function, e.pointer(block))
    e.finish()
    return Compiled(source)


def zeros(size: int) -> NDArray[np.float32]:
    """Return zeros that begin on a line of the caches."""
    memory = np.zeros(size * 4 + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size * 4].view(np.float32)
