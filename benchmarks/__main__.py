"""Run the benchmarks: all but the long ones, or those named, with their numbers (`… -m benchmarks tables 10000`).

`--save FOLDER` writes the results as JSON, `--against FOLDER` compares them with results of the same machine, such as
those of the last tag; `--keep` writes them where `--page` makes `docs/reference/performance.md` from them.
"""

import argparse
import importlib
import pkgutil
import sys
import time
from functools import partial
from pathlib import Path
from types import ModuleType

import benchmarks
from benchmarks import results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="NAME [NUMBER…]")
    parser.add_argument("--save", type=Path, metavar="FOLDER")
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--page", action="store_true", help="only make the page of the kept results")
    options = parser.parse_args()
    if options.page:
        results.PAGE.write_text(results.render_page(results.read(), purposes()), "utf-8")
        return
    folders = [folder for folder in (options.save, results.KEPT if options.keep else None) if folder]
    earlier = results.read(options.against) if options.against else {}
    changed = []
    for name, numbers in _chosen(options.words):
        print(f"\n## {name}\n", flush=True)
        started = time.perf_counter()
        result = results.measure(name, partial(_modules()[name].run, *numbers))
        print(f"\n({time.perf_counter() - started:.0f} s)", flush=True)
        for folder in folders:
            results.write(result, folder)
        if name in earlier:
            changed += results.compare(earlier[name], result)
    if options.against:
        print("\n## What changed\n\n" + ("\n".join(changed) or "nothing by a tenth or more"))


def purposes() -> dict[str, str]:
    """Return what each benchmark measures, in the first words of its module."""
    return {name: (module.__doc__ or "").partition("\n\n")[0].strip() for name, module in _modules().items()}


def _modules() -> dict[str, ModuleType]:
    found = [one.name for one in pkgutil.iter_modules(benchmarks.__path__) if not one.name.startswith("_")]
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in found}
    return {name: module for name, module in modules.items() if hasattr(module, "run")}


def _chosen(words: list[str]) -> list[tuple[str, list[int]]]:
    modules = _modules()
    chosen: list[tuple[str, list[int]]] = []
    for word in words:
        if word.isdecimal() and chosen:
            chosen[-1][1].append(int(word))
        elif word in modules:
            chosen.append((word, []))
        else:
            sys.exit(f"there is no benchmark `{word}`; there are {', '.join(modules)}")
    return chosen or [(name, []) for name, module in modules.items() if not getattr(module, "IS_LONG", False)]


if __name__ == "__main__":
    main()
