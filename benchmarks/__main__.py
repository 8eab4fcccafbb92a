"""Run the benchmarks: all but the long ones, or those that are named (`python -m benchmarks accept memory`)."""

import importlib
import pkgutil
import sys
import time

import benchmarks


def main() -> None:
    found = [one.name for one in pkgutil.iter_modules(benchmarks.__path__) if not one.name.startswith("_")]
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in found}
    runnable = {name: module.run for name, module in modules.items() if hasattr(module, "run")}
    short = [name for name in runnable if not getattr(modules[name], "IS_LONG", False)]
    for name in sys.argv[1:] or short:
        if name not in runnable:
            sys.exit(f"there is no benchmark `{name}`; there are {', '.join(runnable)}")
        print(f"\n## {name}\n", flush=True)
        started = time.perf_counter()
        runnable[name]()
        print(f"\n({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
