"""`python -m bench.report`: write docs/benchmarks.md, its pictures and the README's table.

--check writes nothing and fails where a written file differs from what bench/results/ gives.
"""

from __future__ import annotations

import argparse
import sys

from bench.report import document


def main(arguments: list[str] | None = None) -> None:
    """Write, or check."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.report", description="Write docs/benchmarks.md and README's table."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if files differ")
    if not parser.parse_args(arguments).check:
        print(*document.write(), sep="\n")
    elif differing := document.differences():
        sys.exit(f"python -m bench.report would change {', '.join(differing)}")


if __name__ == "__main__":
    main()
