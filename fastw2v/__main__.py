"""`python -m fastw2v` and the console script `fastw2v`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from fastw2v.cli.main import fastw2v

    fastw2v(prog_name="fastw2v")


if __name__ == "__main__":
    main()
