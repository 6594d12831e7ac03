"""`python -m fastw2v` and the console script `fastw2v`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from fastw2v.cli.main import fastw2v

        fastw2v(prog_name="fastw2v")
    except KeyboardInterrupt:  # before click is there to catch it
        sys.exit(130)


if __name__ == "__main__":
    main()
