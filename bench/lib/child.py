"""`python -m bench.lib.child MODULE:FUNCTION REQUEST.json ANSWER.json`: see `in_own_process`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main(function: str, request: str, answer: str) -> None:
    """Call the function with the request and write what it returns."""
    module, _, name = function.partition(":")
    found = getattr(importlib.import_module(module), name)(json.loads(Path(request).read_text()))
    Path(answer).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
