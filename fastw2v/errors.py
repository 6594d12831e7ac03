"""The errors that a user can cause or meet, each with the exit code of the command line.

A message is one line: what is wrong, with what value, what to do.
"""


def one_line(text: str) -> str:
    """`text` with all characters escaped that end a line, steer a terminal or are none."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


class FastW2VError(Exception):
    """Base of all errors that fastw2v raises on purpose; the run failed (exit code 1)."""

    exit_code = 1

    def __str__(self) -> str:
        # Names of files and words of files stand in messages, and may come from strangers.
        return one_line(super().__str__())


class UsageError(FastW2VError):
    """The call cannot be carried out as asked: a wrong option or argument, a missing input, an
    output that exists, an unknown word (exit code 2)."""

    exit_code = 2


class DataError(FastW2VError):
    """A file, store or model is not what it has to be: truncated, foreign, damaged."""


class ResourceError(FastW2VError):
    """The machine cannot give what the run needs: a full disk, no permission, too little memory."""


class DivergenceError(FastW2VError):
    """Training left the finite numbers; the last good save is kept."""


class TrainingInterrupted(FastW2VError):  # noqa: N818 - not a fault
    """Training was asked to stop (Ctrl-C); the model was saved and can go on from there."""

    exit_code = 130
