"""The errors that a user can cause or meet, each with the exit code of the command line.

A message is one line: what is wrong, with what value, what to do.
"""


class FastW2VError(Exception):
    """Base of all errors that fastw2v raises on purpose; the run failed (exit code 1)."""

    exit_code = 1


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
