"""What both registries share: plugins declare names in strings, modules complete them on first use."""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from motrix_envs import _plugins
from motrix_envs._plugins import USER_CODE, Owner, Plugin
from motrix_envs.errors import DuplicateNameError, PluginError, PluginWarning


class Record(Protocol):
    """What a registry keeps under a name."""

    @property
    def owner(self) -> Owner: ...
    @property
    def module(self) -> str | None: ...
    @property
    def complete(self) -> bool: ...
    @property
    def defined_in(self) -> str | None: ...


@dataclass(frozen=True)
class Failure:
    """A hook or a declared module that failed, and why."""

    owner: Owner
    subject: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.owner} ({self.subject}): {type(self.error).__name__}: {self.error}"


@dataclass
class _Transaction:
    """The hook or module import in progress: who is to blame, and how to take it all back."""

    registry: PluginRegistry
    owner: Owner
    module: str | None = None
    undo: list[tuple[Hashable, Record | None, Record]] = field(default_factory=list)


_transaction: ContextVar[_Transaction | None] = ContextVar("motrix_transaction", default=None)


def transacting_registry() -> PluginRegistry | None:
    """Return the registry whose hook or module is being imported in this context, if any."""
    transaction = _transaction.get()
    return transaction.registry if transaction else None


class PluginRegistry:
    """Names with their owners, filled by the hooks of one entry-point group.

    Hooks run at the first lookup and only declare. A declared module is imported when one of its
    names is used. Hook and import are one transaction each: all of it counts, or nothing. No
    import happens while the lock is held; when two threads arrive first together, both run the
    hooks, and declaring the same thing twice changes nothing.
    """

    group: ClassVar[str]

    def __init__(self) -> None:
        self._table: dict[Hashable, Record] = {}
        self._lock = threading.RLock()
        self._loaded = False
        self._done: set[Plugin] = set()
        self._failures: dict[tuple[Owner, str], Failure] = {}

    # Plugins

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The plugins and declared modules that failed so far and were not repaired since."""
        with self._lock:
            return tuple(self._failures.values())

    def refresh(self) -> None:
        """Look for plugins again and give those that failed another chance."""
        importlib.invalidate_caches()
        with self._lock:
            self._failures.clear()
            self._loaded = False
        self._load()

    def _load(self) -> None:
        """Run the hooks of all installed plugins, once.

        Raises:
            PluginError: One failed and `MOTRIX_STRICT_PLUGINS=1` is set.
        """
        if self._loaded or _transaction.get() is not None:
            return
        plugins = [plugin for plugin in _plugins.discover(self.group) if not plugin.disabled]
        new = [self._run_hook(plugin) for plugin in plugins if plugin not in self._done]
        self._loaded = True
        for failure in filter(None, new):
            warnings.warn(_left_out(failure), PluginWarning, stacklevel=4)

    def _run_hook(self, plugin: Plugin) -> Failure | None:
        """Run one hook; return its failure if this is the first time that it is seen."""
        try:
            with self._begin(plugin.owner):
                plugin.load_hook()(self)
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
            _forget(plugin.value.partition(":")[0])
            return self._failed(plugin.owner, plugin.value, error)
        with self._lock:
            self._done.add(plugin)
        return None

    def _failed(self, owner: Owner, subject: str, error: Exception) -> Failure | None:
        failure = Failure(owner, subject, error)
        if _plugins.strict():
            raise PluginError(f"plugin failed: {failure}") from error
        with self._lock:
            known = (owner, subject) in self._failures
            self._failures[owner, subject] = failure
        return None if known else failure

    def _note(self) -> str:
        """Return the paragraph about failed plugins that a failed lookup ends with."""
        if not self.failures:
            return ""
        lines = "\n".join(f"  {failure}" for failure in self.failures)
        return f"\nLeft out because they failed (`motrix plugins` shows them):\n{lines}"

    # Records

    def _put(self, key: Hashable, record: Record) -> None:
        """Store a record, remembering within a transaction what it replaced."""
        with self._lock:
            if transaction := _transaction.get():
                transaction.undo.append((key, self._table.get(key), record))
            self._table[key] = record

    def _get(self, key: Hashable) -> Record | None:
        """Return the record of a key as it is, declared or complete."""
        self._load()
        return self._table.get(key)

    def _declare(self, key: Hashable, record: Record, what: str) -> None:
        """Store a declaration, unless somebody else holds its key.

        Raises:
            DuplicateNameError: The key belongs to another owner or module.
        """
        with self._lock:
            held = self._table.get(key)
            if held is None:
                self._put(key, record)
            elif (held.owner, held.module) != (record.owner, record.module):
                raise _taken(what, held.owner, record.owner)

    def _claim(self, held: Record | None, what: str, definition: type, old: type | None) -> Owner:
        """Return the owner under whom `definition` may fill its slot of a record.

        Args:
            held: The record as it stands, if there is one.
            what: How messages call it.
            definition: The class to be registered.
            old: What is in the slot now; None leaves it free. The same definition may come
                again: a notebook cell that runs twice.

        Raises:
            DuplicateNameError: The slot, or the whole record, belongs to somebody else.
        """
        owner = self._owner()
        if held is None:
            return owner
        if same_definition(old, definition) or (old is None and _fits(held, owner, definition)):
            return held.owner
        raise _taken(what, held.owner, owner)

    def _owner(self) -> Owner:
        transaction = _transaction.get()
        return transaction.owner if transaction else USER_CODE

    def _complete(self, key: Hashable, what: str) -> Record | None:
        """Return the record of a key, importing its module if that has not happened yet.

        Raises:
            PluginError: The declared module fails, or does not define what was promised.
        """
        record = self._get(key)
        if record is None or record.complete or record.module is None:
            return record
        try:
            with self._begin(record.owner, record.module):
                importlib.import_module(record.module)
                self._check_promises(record.module)
        except Exception as error:
            self._failed(record.owner, record.module, error)
            raise PluginError(
                f"{what} is declared by {record.owner}, but its module '{record.module}' "
                f"failed: {type(error).__name__}: {error}"
            ) from error
        with self._lock:
            self._failures.pop((record.owner, record.module), None)
        return self._table.get(key)

    def _check_promises(self, module: str) -> None:
        with self._lock:
            broken = [
                key for key, record in self._table.items()
                if record.module == module and not record.complete
            ]  # fmt: skip
        if broken:
            names = ", ".join(_spell(key) for key in broken)
            raise PluginError(f"module '{module}' declares but does not define: {names}")

    @contextmanager
    def _begin(self, owner: Owner, module: str | None = None) -> Iterator[None]:
        """Blame `owner` for what is registered inside, and take it back if anything fails."""
        transaction = _Transaction(self, owner, module)
        token = _transaction.set(transaction)
        try:
            yield
        except BaseException:
            self._roll_back(transaction)
            raise
        finally:
            _transaction.reset(token)

    def _roll_back(self, transaction: _Transaction) -> None:
        """Undo a transaction. Modules of others that it imported on the way are whole, and stay."""
        with self._lock:
            for key, before, after in reversed(transaction.undo):
                own_module = transaction.module is None or after.module in (transaction.module, None)
                if after.owner != transaction.owner or not own_module:
                    continue
                if before is None:
                    self._table.pop(key, None)
                else:
                    self._table[key] = before
                if transaction.module and after.defined_in:
                    _forget(after.defined_in)
        if transaction.module:
            _forget(transaction.module)


def _forget(module: str) -> None:
    """Drop a module from the import cache, so that a retry runs it again."""
    sys.modules.pop(module, None)


def _fits(held: Record, owner: Owner, definition: type) -> bool:
    """Whether a definition comes from where the record was declared: its module or package."""
    if held.module is None:
        return held.owner == owner
    transaction = _transaction.get()
    importing = transaction is not None and transaction.module == held.module
    return importing or definition.__module__.split(".")[0] == held.module.split(".")[0]


def _taken(what: str, holder: Owner, claimant: Owner) -> DuplicateNameError:
    return DuplicateNameError(
        f"{what} already belongs to {holder}; {claimant} has to choose another name"
    )


def _spell(key: Hashable) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join(str(part) for part in parts if part is not None)


def _left_out(failure: Failure) -> str:
    return (
        f"plugin left out: {failure}. Everything else works. "
        f"MOTRIX_DISABLE_PLUGINS={failure.owner.name} hides this warning."
    )


def same_definition(old: Callable[..., Any] | None, new: Callable[..., Any]) -> bool:
    """Whether two classes are one definition that ran twice (same module and qualified name)."""
    return old is not None and (old.__module__, old.__qualname__) == (
        new.__module__,
        new.__qualname__,
    )
