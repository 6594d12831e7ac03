"""The errors that a user can cause or meet, each with the exit code of the command line.

A message is one line: what is wrong, with what value, what to do. Exit codes, one a kind of fault:

    0    success
    1    damaged data, or a check that failed
    2    wrong usage: options, arguments, missing inputs, outputs that exist
    3    the machine lacks something: memory, disk space, a permission
    4    training diverged
    130  interrupted (128 + the number of the signal); the same command continues
"""


def one_line(text: str) -> str:
    """`text` with line ends, control characters and lone surrogates escaped."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


class FastW2VError(Exception):
    """Base of all errors that fastw2v raises on purpose (exit code 1)."""

    exit_code = 1

    def __str__(self) -> str:
        # Messages contain file names and words of files, which may be untrusted.
        return one_line(super().__str__())


class UsageError(FastW2VError):
    """The call cannot be carried out as asked: a wrong option or argument, a missing input, an
    output that exists, an unknown word (exit code 2)."""

    exit_code = 2


class DataError(FastW2VError):
    """A file, store or model is damaged, truncated or of another format (exit code 1)."""


class ResourceError(FastW2VError):
    """The machine lacks what the run needs: memory, disk space, a permission (exit code 3)."""

    exit_code = 3


class DivergenceError(FastW2VError):
    """The loss or the weights became infinite or NaN; the last good save is kept (exit code 4)."""

    exit_code = 4


class TrainingInterrupted(FastW2VError):  # noqa: N818 - not a fault
    """Training was stopped by a signal; the model was saved and the run can be resumed (exit code
    130)."""

    exit_code = 130
