"""`python -m bench`: both benchmarks at full length, then the README's section from their results.

`--quick` looks at each for a few minutes and leaves the README and the full results alone.
"""

from __future__ import annotations

import sys

from bench import common, quality, readme, throughput

_QUICK_QUALITY = [
    *("--shards", "1", "--epochs", "1", "--dim", "100", "--seeds", "1"),
    *("--output", str(common.RESULTS / "quality-quick.json")),
]


def main() -> None:
    """Run everything; partial results are kept as it goes."""
    unknown = [word for word in sys.argv[1:] if word != "--quick"]
    if unknown:
        sys.exit(f"python -m bench: unknown argument {unknown[0]}; the only one is --quick")
    quick = "--quick" in sys.argv[1:]
    throughput.main(["--quick"] if quick else [])
    quality.main(_QUICK_QUALITY if quick else ["--types", "sgram_neg", "cbow_neg"])
    if not quick:
        readme.rewrite()


if __name__ == "__main__":
    main()
