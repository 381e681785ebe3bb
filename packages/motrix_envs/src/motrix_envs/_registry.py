"""What both registries share: plugins declare names, their modules complete them on first use."""

from __future__ import annotations

import importlib
import re
import threading
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

from motrix_envs import _plugins
from motrix_envs._plugins import USER_CODE, Owner, Plugin
from motrix_envs._transaction import LOCK, Record, Transaction, enclosing, forget, taken
from motrix_envs.errors import PluginError, PluginWarning, describe, show

ANYTHING = (Exception, SystemExit)
"""What a stranger's code may raise; an interrupt of the user goes through."""

_NAME = re.compile(r"[^\W_][\w./:+-]*")
_PLACE = re.compile(r"\w[\w.]*(:[\w.]+)?")


@dataclass(frozen=True)
class Failure:
    """A hook or a declared module that failed, and why."""

    owner: Owner
    subject: str
    error: BaseException

    def __str__(self) -> str:
        where = f" ({self.subject})" if self.subject else ""
        return f"{self.owner}{where}: {describe(self.error)}"


def check_names(*names: Any) -> None:
    """Check that names can be typed, printed and told from a path and from an option.

    Raises:
        PluginError: One is no such name.
    """
    for name in names:
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise PluginError(
                f"{name!a} is no name: one starts with a letter or a digit, and goes on with these "
                "and . / : + - _"
            )


def check_declaration(place: Any, *names: Any) -> None:
    """Check the names that are declared, and where: `"package.module"`, maybe with `":Name"`.

    Raises:
        PluginError: A name is none, or the place is none.
    """
    check_names(*names)
    if not (isinstance(place, str) and _PLACE.fullmatch(place)):
        raise PluginError(f"{place!a} is no place of Python code, such as 'package.module:Name'")


class PluginRegistry:
    """Names with their owners, filled by the hooks of one entry-point group.

    Hooks run at the first lookup, once, and only declare. A declared module is imported when one
    of its names is used. Each is a transaction: all of it counts, or nothing.
    """

    group: ClassVar[str]
    _lock: ClassVar[threading.RLock] = LOCK

    def __init__(self) -> None:
        self.table: dict[Hashable, Record] = {}
        self._loaded = False
        self._done: set[Plugin] = set()
        self._failures: dict[tuple[Owner, str], Failure] = {}
        self._announced: set[tuple[Owner, str]] = set()

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
            self._announced.clear()
            self._loaded = False
        self._load()

    def complete_all(self) -> None:
        """Import every declared module; `failures` says which ones failed.

        Raises:
            PluginError: One failed and `MOTRIX_STRICT_PLUGINS=1` is set.
        """
        self._load()
        for key in list(self._records()):
            try:
                self._complete(key)
            except PluginError:
                if _plugins.strict():
                    raise

    def _load(self) -> None:
        """Run the hooks of all installed plugins, once.

        Raises:
            PluginError: One failed and `MOTRIX_STRICT_PLUGINS=1` is set.
        """
        if self._loaded or any(t.registry is self and t.declares for t in enclosing()):
            return
        for plugin in _plugins.discover(self.group):
            if plugin.disabled:
                self._repaired(plugin.owner, plugin.value)
            elif plugin not in self._done:
                self._run_hook(plugin)
        self._loaded = True
        self._announce()

    def _run_hook(self, plugin: Plugin) -> None:
        try:
            with Transaction(self, plugin.owner, plugin.module, declares=True):
                plugin.load_hook()(self)
        except ANYTHING as error:
            self._failed(plugin.owner, plugin.value, error)
        else:
            with self._lock:
                self._done.add(plugin)
            self._repaired(plugin.owner, plugin.value)

    def _failed(self, owner: Owner, subject: str, error: BaseException) -> None:
        failure = Failure(owner, subject, error)
        with self._lock:
            self._failures[owner, subject] = failure
        if _plugins.strict():
            raise PluginError(f"plugin failed: {failure}") from error

    def _repaired(self, owner: Owner, subject: str) -> None:
        with self._lock:
            self._failures.pop((owner, subject), None)
            self._announced.discard((owner, subject))

    def _announce(self) -> None:
        """Warn of every failure, once."""
        with self._lock:
            new = [f for key, f in self._failures.items() if key not in self._announced]
            self._announced.update(self._failures)
        for failure in new:
            warnings.warn(_left_out(failure), PluginWarning, stacklevel=4)

    def _note(self) -> str:
        """Return the paragraph about failed plugins that a failed lookup ends with."""
        if not self.failures:
            return ""
        lines = "\n".join(f"  {failure}" for failure in self.failures)
        return f"\nLeft out because they failed (`motrix plugins` shows them):\n{lines}"

    # Records

    def held(self, key: Hashable) -> Record | None:
        """Return a record as this context sees it: with what its own transactions staged."""
        with self._lock:
            for transaction in enclosing():
                if (self, key) in transaction.staged:
                    return transaction.staged[self, key]
            return self.table.get(key)

    def unkept_promises(self, module: str) -> list[str]:
        """Return the titles of what a declared module has not defined."""
        records = self._records().values()
        return [r.title for r in records if r.module == module and not r.complete]

    def _records(self) -> dict[Hashable, Record]:
        with self._lock:
            records = dict(self.table)
            for transaction in reversed(list(enclosing())):
                for (registry, key), record in transaction.staged.items():
                    if registry is self:
                        records[key] = record
            return records

    def _put(self, key: Hashable, record: Record) -> None:
        with self._lock:
            if transaction := next(enclosing(), None):
                transaction.staged[self, key] = record
            else:
                self.table[key] = record

    def _get(self, key: Hashable) -> Record | None:
        """Return the record of a key as it is, declared or complete."""
        self._load()
        return self.held(key)

    def _declare(self, key: Hashable, record: Record) -> None:
        """Store a declaration, unless somebody else holds its key.

        Raises:
            DuplicateNameError: The key belongs to another owner or module.
        """
        with self._lock:
            held = self.held(key)
            if held is None:
                self._put(key, record)
            elif held.bare() != record and not _defined_early(held, record):
                raise taken(held, record.owner)

    def _claim(self, held: Record | None, new: Record, old: type | None, definition: type) -> None:
        """Check that `definition` may fill its slot of a record.

        Args:
            held: The record as it stands, if there is one.
            new: What it would be without one.
            old: What is in the slot now; None leaves it free. The same definition may come
                again: a notebook cell that runs twice.
            definition: The class to be registered.

        Raises:
            DuplicateNameError: The slot, or the whole record, belongs to somebody else.
            PluginError: The definition is no class.
        """
        if not isinstance(definition, type):
            raise PluginError(f"{new.title} takes a class, not {show(definition)}")
        if held is None or same_definition(old, definition):
            return
        if old is not None or not _fits(held, new.owner, definition):
            raise taken(held, new.owner)

    def _owner(self) -> Owner:
        transaction = next(enclosing(), None)
        return transaction.owner if transaction else USER_CODE

    def _complete(self, key: Hashable) -> Record | None:
        """Return the record of a key, importing its module if that has not happened yet.

        Raises:
            PluginError: The declared module fails, or does not define what was promised.
        """
        record = self._get(key)
        if record is None or record.complete or record.module is None:
            return record
        if (record.owner, record.module) in self._failures:
            importlib.invalidate_caches()  # it may have been repaired
        try:
            with Transaction(self, record.owner, record.module, declares=False) as transaction:
                self._import(record.module, transaction)
        except ANYTHING as error:
            self._failed(record.owner, record.module, error)
            raise PluginError(
                f"{record.title} is declared by {record.owner}, but its module "
                f"'{record.module}' failed: {describe(error)}"
            ) from error
        self._repaired(record.owner, record.module)
        return self.held(key)

    def _import(self, module: str, transaction: Transaction) -> None:
        """Import a declared module and check that it defines what was promised."""
        importlib.import_module(module)
        transaction.adopt(module)
        if self.unkept_promises(module) and module in transaction.loaded_before:
            forget([module])  # it ran before, for another registry or halfway
            importlib.import_module(module)
        if broken := self.unkept_promises(module):
            raise PluginError(f"it does not define {' and '.join(broken)}")

    def _resolve(self, owner: Owner, target: str) -> Any:
        """Import what `"package.module:Name"` names, for its owner."""
        with Transaction(self, owner, target.partition(":")[0], declares=False):
            return _plugins.resolve(target)


def _fits(held: Record, owner: Owner, definition: type) -> bool:
    """Whether a definition comes from where the record was declared: its module or package."""
    if held.module is None:
        return held.owner == owner
    transaction = next(enclosing(), None)
    importing = transaction is not None and transaction.source == held.module
    return importing or definition.__module__.split(".")[0] == held.module.split(".")[0]


def _defined_early(held: Record, declaration: Record) -> bool:
    """Whether a hook declares what importing the module of the hook has defined already."""
    same_plugin = held.owner == declaration.owner != USER_CODE
    return same_plugin and held.complete and held.module is None


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
