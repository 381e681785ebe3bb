"""Rewrite `uv.lock` so that it names no download address.

The stripped file keeps every pinned version and the whole dependency graph. It drops what ties a
lock to one index: wheels, source distributions, index addresses, and the workspace members' copied
requirements. Missing the last, uv takes the file for a lock to complete: `uv sync` and `uv run`
resolve again, prefer exactly the versions pinned here, and add the addresses of the index in use.

    python tools/strip_lock.py [PATH]           rewrite PATH (default: uv.lock) in place
    python tools/strip_lock.py --check [PATH]   write nothing; exit 1 if PATH names an address
    python tools/strip_lock.py --stdin          read stdin, write stdout: a git clean filter
"""

import argparse
import re
import sys
from pathlib import Path

SDIST = re.compile(r"^sdist = .*\n", re.MULTILINE)
WHEELS = re.compile(r"^wheels = \[\n(?: .*\n)*\]\n", re.MULTILINE)
METADATA = re.compile(r"^\[package\.metadata(?:\.[\w-]+)?\]\n(?:[^\[\n].*\n)*", re.MULTILINE)
REGISTRY = re.compile(r'\bregistry = "[^"]*"')
BLANK_LINES = re.compile(r"\n{3,}")


def strip(text: str) -> str:
    """Return the lock `text` without addresses, hashes and member metadata. Idempotent."""
    text = text.replace("\r\n", "\n")
    for pattern in (SDIST, WHEELS, METADATA):
        text = pattern.sub("", text)
    text = REGISTRY.sub('registry = "index"', text)
    return BLANK_LINES.sub("\n\n", text).rstrip("\n") + "\n"


def lines_with_address(text: str) -> list[int]:
    """Return the numbers, from 1, of the lines of `text` that hold an address.

    Only numbers: an index's address may carry a password.
    """
    return [number for number, line in enumerate(text.splitlines(), start=1) if "://" in line]


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line's `path`, `check` and `stdin`."""
    parser = argparse.ArgumentParser(description="Take the download addresses out of uv.lock.")
    parser.add_argument("path", nargs="?", type=Path, default=Path("uv.lock"))
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing; exit 1 on an address")
    mode.add_argument("--stdin", action="store_true", help="read stdin and write stdout")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Rewrite, check or filter a lock; return 0, or 1 if what results still names an address."""
    args = parse(argv)
    if args.stdin:
        text = strip(sys.stdin.buffer.read().decode("utf-8"))
        sys.stdout.buffer.write(text.encode("utf-8"))
        advice = "only packages taken from an index can be stripped"
    elif args.check:
        text = args.path.read_text(encoding="utf-8")
        advice = "strip it with `python tools/strip_lock.py`"
    else:
        text = strip(args.path.read_text(encoding="utf-8"))
        args.path.write_text(text, encoding="utf-8", newline="\n")
        advice = "only packages taken from an index can be stripped"

    found = lines_with_address(text)
    if found:
        name = "uv.lock" if args.stdin else args.path
        message = f"{name}: {len(found)} lines name an address, the first is line {found[0]}"
        print(f"{message}; {advice}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
