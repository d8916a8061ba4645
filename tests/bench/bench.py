"""
Measure this project side by side with what one would take instead, and keep what was found.

    python tests/bench/bench.py [sequence|minions|per_run|scale|reading ...] [--samples N]
    python tests/bench/bench.py --quick

Each measure is a module beside this file. What it finds replaces what it found before, in tests/bench/results.json and
between its own marks in docs/performance.md, with a picture of each table in docs/performance/. ``--quick`` keeps
nothing: it prints what it finds beside what is kept, and judges neither.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[1:1] = [str(REPOSITORY / "_utils"), str(REPOSITORY / "tests/support")]

import figures  # noqa: E402

RESULTS = HERE / "results.json"
PAGE = REPOSITORY / "docs/performance.md"
PICTURES = PAGE.with_suffix("")
MEASURES = ("sequence", "minions", "per_run", "scale", "reading")
QUICK = ("sequence", "per_run", "scale", "reading")


def main() -> int:
    asked = _arguments()
    # Salt's services keep the bytecode of what they load.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in asked.measures or (QUICK if asked.quick else MEASURES):
        began = time.monotonic()
        print(f"{name}: measuring", file=sys.stderr, flush=True)
        found = _measured(name, asked.samples, asked.quick)
        print(f"{name}: measured in {time.monotonic() - began:.0f} s\n", file=sys.stderr, flush=True)
        if asked.quick:
            print(beside(found, figures.read(RESULTS).get(name)))
        else:
            print(figures.tables(found))
            keep(name, figures.Record(_where(), _command(name, asked.samples), tuple(found)))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measures", nargs="*", metavar="measure", help=f"of {', '.join(MEASURES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few cases, few samples, nothing kept")
    parser.add_argument("--samples", type=int, metavar="N", help="how often each figure is measured (5; quick: 1)")
    asked = parser.parse_args()
    unknown = sorted(set(asked.measures) - set(MEASURES))
    if unknown:
        parser.error(f"there is no measure {', '.join(unknown)}: there are {', '.join(MEASURES)}")
    asked.samples = asked.samples or (1 if asked.quick else 5)
    return asked


def _measured(name: str, samples: int, quick: bool) -> list[figures.Figure]:
    """Return what a measure finds; it works in a directory of its own."""
    # Salt's sockets need short paths.
    work = Path(tempfile.mkdtemp(prefix="oo-", dir="/tmp"))
    try:
        return importlib.import_module(name).measure(work, samples, quick)
    finally:
        shutil.rmtree(work, ignore_errors=True)


# -- what is kept ------------------------------------------------------------------------------------------------------


def keep(name: str, record: figures.Record) -> None:
    """Write what a measure has found in place of what it found before."""
    import pictures  # needs matplotlib, which a quick look does without

    kept = {**figures.read(RESULTS), name: record}
    figures.write(RESULTS, {each: kept[each] for each in sorted(kept)})
    record = figures.read(RESULTS)[name]  # with the digits that are kept
    pictures.draw(name, record.figures, PICTURES)
    PAGE.write_text(in_page(PAGE.read_text(), name, shown(name, record)))


def shown(name: str, record: figures.Record) -> str:
    """Return what a measure has found as it stands in the page."""
    places = {title: f"{PICTURES.name}/{file}" for title, file in figures.picture_names(name, record.figures).items()}
    return f"{record.where}: `{record.command}`\n\n{figures.tables(record.figures, places)}"


def in_page(page: str, name: str, text: str) -> str:
    """Return the page with a text between the marks of a measure."""
    begin, end = f"<!-- {name}: measured -->\n", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"docs/performance.md has no place for {name}: it needs the lines {begin.strip()} and {end}")
    return f"{before}{begin}{text}{end}{after}"


def beside(found: Iterable[figures.Figure], record: figures.Record | None) -> str:
    """Return figures beside those that are kept, for a reader who judges."""
    kept = {each.place: each for each in record.figures} if record else {}
    head = ("", "", "now", "kept")
    rows = []
    for each in found:
        old = kept.get(each.place)
        rows.append((f"{each.table}: {each.case}", each.subject, str(each), str(old) if old else "-"))
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "".join(f"{line.rstrip()}\n" for line in lines)


# -- where, and with what ----------------------------------------------------------------------------------------------


def _command(name: str, samples: int) -> str:
    return f"python tests/bench/bench.py {name} --samples {samples}"


def _where() -> str:
    """Return the machine and the versions of what is measured, in one line."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    programs = [f"Salt {_version_of('salt')}", f"Puppet {_puppet()}", f"ansible-core {_version_of('ansible-core')}"]
    date = datetime.datetime.now(datetime.timezone.utc).date()
    cores = len(os.sched_getaffinity(0))
    return f"{system}, {cores} cores, Python {platform.python_version()}, {', '.join(programs)}, {date}"


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _puppet() -> str:
    try:
        said = subprocess.run(["puppet", "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return "none"
    found = re.search(r"[\d.]+", said)
    return found.group() if found else "none"


if __name__ == "__main__":
    sys.exit(main())
