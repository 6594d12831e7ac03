"""Where lines meant for the user go when a Python caller does not take them."""

from __future__ import annotations

import logging

_logger = logging.getLogger("fastw2v")


def log_notice(line: str) -> None:
    """To the logger "fastw2v"; lines that begin with "warning:" as warnings."""
    _logger.log(logging.WARNING if line.startswith("warning:") else logging.INFO, line)
