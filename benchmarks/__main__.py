"""Run the benchmarks: all but the long ones, or those named, with their numbers (`… -m benchmarks tables 10000`)."""

import importlib
import pkgutil
import sys
import time

import benchmarks


def main() -> None:
    found = [one.name for one in pkgutil.iter_modules(benchmarks.__path__) if not one.name.startswith("_")]
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in found}
    runnable = {name: module.run for name, module in modules.items() if hasattr(module, "run")}
    chosen: list[tuple[str, list[int]]] = []
    for word in sys.argv[1:]:
        if word.isdecimal() and chosen:
            chosen[-1][1].append(int(word))
        elif word in runnable:
            chosen.append((word, []))
        else:
            sys.exit(f"there is no benchmark `{word}`; there are {', '.join(runnable)}")
    short = [(name, []) for name in runnable if not getattr(modules[name], "IS_LONG", False)]
    for name, numbers in chosen or short:
        print(f"\n## {name}\n", flush=True)
        started = time.perf_counter()
        runnable[name](*numbers)
        print(f"\n({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
