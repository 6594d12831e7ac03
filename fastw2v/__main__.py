"""`python -m fastw2v` and the console script `fastw2v`."""

from __future__ import annotations

import contextlib
import signal
import sys


def main() -> None:
    """Run the command line."""
    try:
        from fastw2v.cli.main import fastw2v

        fastw2v(prog_name="fastw2v")
    except KeyboardInterrupt:  # before click can catch it
        sys.exit(130)
    finally:
        # The command is over, so Ctrl-C during shutdown must not turn it into a failure.
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
