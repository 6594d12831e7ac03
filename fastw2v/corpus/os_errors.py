"""What the system says of a file that cannot be read, as an error of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastw2v.errors import UsageError


@contextlib.contextmanager
def reporting_unreadable(what: object) -> Iterator[None]:
    """Turn an `OSError` on the way to an input into one line that begins with `what`.

    Raises:
        UsageError: no permission, a name that is too long, a failing disk.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"{what}: cannot be read ({error.strerror or error})") from error
