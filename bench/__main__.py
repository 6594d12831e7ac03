"""`python -m bench`: all benchmarks at full length, then the report from their results.

    python -m bench                            everything, for hours
    python -m bench --quick                    minutes; leaves the report and the full results alone
    python -m bench --only kernels throughput  some of them, then the report

Every benchmark keeps what it has in NAME.partial.json until it is done, so that nothing is lost
when one fails or is interrupted, and the last whole results stay. The others run when one fails;
those that failed are named at the end.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback

from bench.report import document

BENCHMARKS = {
    "ceilings": "bench.speed.ceilings",
    "kernels": "bench.speed.kernels",
    "throughput": "bench.speed.throughput",
    "preprocess": "bench.preprocess.speed",
    "softmax": "bench.softmax.speed",
    "costs": "bench.speed.costs",
    "estimates": "bench.speed.estimates",
    "deterministic": "bench.speed.deterministic",
    "scaling": "bench.speed.scaling",
    "robustness": "bench.quality.robustness",
    "softmax_quality": "bench.softmax.quality",
    "quality": "bench.quality.quality",
    "sweep": "bench.quality.sweep",
}


def run_all(names: list[str], arguments: list[str]) -> list[str]:
    """Run the benchmarks one after another; returns the names of those that failed."""
    failed = []
    for number, name in enumerate(names, 1):
        print(f"\n=== {number} of {len(names)}: {name} ===", flush=True)
        began = time.monotonic()
        try:
            importlib.import_module(BENCHMARKS[name]).main(arguments)
        except (Exception, SystemExit) as error:  # SystemExit: no corpus, no peer ...
            if not isinstance(error, SystemExit):
                traceback.print_exc()
            print(f"{name} failed: {error}", file=sys.stderr, flush=True)
            failed.append(name)
        print(f"=== {name}: {(time.monotonic() - began) / 60:.1f} minutes ===", flush=True)
    return failed


def main(arguments: list[str] | None = None) -> None:
    """Run everything; partial results are kept as it goes."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="All benchmarks.")
    parser.add_argument("--quick", action="store_true", help="a look at each, in minutes")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    chosen = parser.parse_args(arguments)
    failed = run_all(chosen.only, ["--quick"] if chosen.quick else [])
    if not chosen.quick:
        document.write()
    if failed:
        sys.exit(f"python -m bench: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
