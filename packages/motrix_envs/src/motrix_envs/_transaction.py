"""Transactions: what a hook or a declared module registers counts as a whole, or not at all.

A transaction stages records; they enter the tables of their registries in one moment, at its end.
No thread waits for another one here: two that arrive together run the same hook, or meet in
Python's own import of the same module, and the second to finish finds everything in place. A lock
around hooks or imports would deadlock with the import system's; the one below guards dictionaries.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Hashable, Iterable, Iterator
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from motrix_envs._plugins import Owner
from motrix_envs.errors import DuplicateNameError

if TYPE_CHECKING:
    from motrix_envs._registry import PluginRegistry

LOCK = threading.RLock()
"""Guards the tables of all registries and what is staged; never held during an import or a hook."""


class Record(Protocol):
    """What a registry keeps under a key."""

    @property
    def owner(self) -> Owner:
        """Who declared or registered it."""

    @property
    def module(self) -> str | None:
        """The module that was declared to define it, if one was."""

    @property
    def title(self) -> str:
        """How messages call it."""

    @property
    def complete(self) -> bool:
        """Whether nothing of it is missing."""

    def bare(self) -> Record:
        """Return the declaration alone, without what its module defined."""


Staged: TypeAlias = "dict[tuple[PluginRegistry, Hashable], Record]"

_innermost: ContextVar[Transaction | None] = ContextVar("motrix_transaction", default=None)
_open: list[Transaction] = []


def enclosing() -> Iterator[Transaction]:
    """Yield the transactions that this context is in, innermost first."""
    transaction = _innermost.get()
    while transaction is not None:
        yield transaction
        transaction = transaction.parent


def taken(held: Record, claimant: Owner) -> DuplicateNameError:
    """Return the error of somebody who claims a name that has an owner."""
    return DuplicateNameError(
        f"{held.title} already belongs to {held.owner}; {claimant} has to choose another name"
    )


@dataclass(eq=False)
class Transaction:
    """One run of a hook, or one import of a declared module; a context manager.

    Attributes:
        registry: Whose hook or module it is.
        owner: Who is to blame.
        source: The module of the hook, or the declared module.
        declares: Whether this is a hook.
    """

    registry: PluginRegistry
    owner: Owner
    source: str
    declares: bool
    parent: Transaction | None = None
    staged: Staged = field(default_factory=dict)
    kept_modules: set[str] = field(default_factory=set)
    loaded_before: frozenset[str] = frozenset()
    token: Token[Transaction | None] | None = None

    def __enter__(self) -> Transaction:
        self.parent = _innermost.get()
        self.loaded_before = frozenset(sys.modules)
        self.token = _innermost.set(self)
        with LOCK:
            _open.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        try:
            if kind is None:
                self._commit()
            else:
                self._roll_back()
        except DuplicateNameError:
            self._roll_back()
            raise
        finally:
            with LOCK:
                _open.remove(self)
            if self.token is not None:
                _innermost.reset(self.token)

    def adopt(self, module: str) -> None:
        """Take over what another thread staged when it ran the module that is imported now."""
        with LOCK:
            for other in _open:
                for (registry, key), record in other.staged.items():
                    if record.module == module and record.complete:
                        self.staged[registry, key] = record

    def _commit(self) -> None:
        with LOCK:
            whole, broken = self._foreign()
            own = {place: r for place, r in self.staged.items() if self._is_own(r)}
            for (registry, key), record in own.items():
                held = registry.table.get(key)
                if held is not None and held.bare() != record.bare():
                    raise taken(held, record.owner)
            _store(own | whole)
        if self.parent is not None:
            self.parent.kept_modules |= {self.source, *self.kept_modules}
        forget(broken)

    def _roll_back(self) -> None:
        """Take everything back but whole modules of others that were imported on the way."""
        with LOCK:
            _store(self._foreign()[0])
            for key, record in list(self.registry.table.items()):
                if not self.declares and record.module == self.source:
                    self.registry.table[key] = record.bare()
        package = _package(self.source)
        new = {name for name in list(sys.modules) if _package(name) == package}
        new -= self.loaded_before
        for kept in self.kept_modules:
            new -= {name for name in new if f"{kept}.".startswith(f"{name}.")}
        forget({*new, self.source})

    def _foreign(self) -> tuple[Staged, set[str]]:
        """Return what whole modules of others staged here, and the names of those not whole."""
        whole: Staged = {}
        broken = set()
        for (registry, key), record in self.staged.items():
            if self._is_own(record) or record.module is None:
                continue
            if is_imported(record.module) and not registry.unkept_promises(record.module):
                whole[registry, key] = record
                self.kept_modules.add(record.module)
            else:
                broken.add(record.module)
        return whole, broken

    def _is_own(self, record: Record) -> bool:
        if self.declares:
            return record.owner == self.owner
        return record.module in (None, self.source) or record == record.bare()


def _store(records: Staged) -> None:
    for (registry, key), record in records.items():
        held = registry.table.get(key)
        if record.complete or held is None or not held.complete:
            registry.table[key] = record


def is_imported(module: str) -> bool:
    """Return whether a module is imported to its end."""
    loaded = sys.modules.get(module)
    spec = getattr(loaded, "__spec__", None)
    return loaded is not None and not getattr(spec, "_initializing", False)


def _package(module: str) -> str:
    return module.partition(".")[0]


def forget(modules: Iterable[str]) -> None:
    """Drop modules from the import cache and from their packages, so that a retry runs them."""
    for name in modules:
        if not is_imported(name):
            continue  # or another thread is busy with it: its import would fail for no reason
        module = sys.modules.pop(name)
        parent, _, attribute = name.rpartition(".")
        if getattr(sys.modules.get(parent), attribute, None) is module:
            delattr(sys.modules[parent], attribute)
