"""Tokenizers by name: those built in, `regex:PATTERN`, and `module:function` of the user.

A module is code: it is imported only because the user named it in this call, never because a file
names it. Settings taken from a store or model go through `tokenizer_again`.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastw2v.errors import UsageError

BUILT_IN = ("words", "whitespace", "characters")
_REGEX = "regex:"
_FUNCTION = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_SHOWN_CHARACTERS = 60  # of a line, and of what a function gave

Cut = Callable[[str], list[str]]


class FunctionFailed(UsageError):  # noqa: N818 - named by what happened
    """The user's function raises or returns something other than tokens; the text is not at fault.

    Attributes:
        lines_before: how many lines of what was tokenized at once it had done.
    """

    lines_before = 0


def check_name(name: str) -> None:
    """Check the value of `tokenizer`; nothing is imported.

    Raises:
        UsageError: not a name of a tokenizer, or a bad pattern.
    """
    if name.startswith(_REGEX):
        _pattern_of(name)
    elif name not in BUILT_IN and not is_function(name):
        raise UsageError(
            f"`tokenizer`: {name!r} is not one of {', '.join(BUILT_IN)}, regex:PATTERN, "
            "module:function"
        )
    elif name.startswith("__main__"):
        raise UsageError(
            f"`tokenizer`: {name}: workers cannot import a function of the running script; put it "
            "into a module"
        )


def is_function(name: str) -> bool:
    """Whether it names a function of the user, that is, code."""
    return not name.startswith(_REGEX) and _FUNCTION.fullmatch(name) is not None


def by_line(name: str) -> bool:
    """Whether its tokens may span white space, so that it has to see whole lines."""
    return name not in BUILT_IN


def cut_by(name: str) -> Cut:
    """What cuts a line into tokens, for a name with `by_line`.

    Raises:
        UsageError: a module or function that is not there, or that fails while it is imported.
    """
    return _cut_by_function(name) if is_function(name) else _cut_by_pattern(name)


def tokenizer_again(recorded: str, given: str | None, owner: str | Path) -> str:
    """The tokenizer for more text like that of `owner`, a store or model that records one.

    Args:
        given: the user's own `tokenizer`, which takes precedence over the recorded one.

    Raises:
        UsageError: a function is recorded and none was given: a file cannot have it imported.
    """
    if given is None and is_function(recorded):
        raise UsageError(
            f"{owner}: its text was tokenized by {recorded}, a function, which is run only if you "
            f"name it yourself: add `tokenizer` {recorded} (tokenizer= in Python)"
        )
    return recorded if given is None else given


def source_hash(name: str) -> str | None:
    """SHA-256 of the file that has the function; None where there is no function or no file."""
    if not is_function(name):
        return None
    file = getattr(_module_of(name), "__file__", None)
    if file is None or not Path(file).is_file():
        return None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _pattern_of(name: str) -> re.Pattern[str]:
    pattern = name.removeprefix(_REGEX)
    if not pattern:
        raise UsageError("`tokenizer`: regex: needs a pattern, such as regex:\\w+")
    try:
        pattern.encode("utf-8")
        return re.compile(pattern)
    except UnicodeEncodeError:
        raise UsageError("`tokenizer`: regex: the pattern is not UTF-8") from None
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"`tokenizer`: {name}: bad pattern ({_one_line(error)})") from None


def _cut_by_pattern(name: str) -> Cut:
    pattern = _pattern_of(name)
    if pattern.groups <= 1:  # findall gives the group, if there is one
        return lambda line: [token for token in pattern.findall(line) if token]
    return lambda line: [token for match in pattern.finditer(line) if (token := match[1])]


def _cut_by_function(name: str) -> Cut:
    function = _function_of(name)

    def cut(line: str) -> list[str]:
        try:
            found = function(line)
            tokens = found if isinstance(found, str) else list(found)
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            raise FunctionFailed(
                f"`tokenizer`: {name}: {type(error).__name__}: {_one_line(error)}{_place(error)}, "
                f"for the line that begins {line[:_SHOWN_CHARACTERS]!r}"
            ) from error
        if isinstance(tokens, str):
            raise FunctionFailed(
                f"`tokenizer`: {name}: must return a list of strings; got a string"
            )
        return [_checked(name, token) for token in tokens if token != ""]

    return cut


def _checked(name: str, token: Any) -> str:
    """`token`, if it can be stored."""
    if isinstance(token, str):
        storable = token.isascii() or not any("\ud800" <= c <= "\udfff" for c in token)
        if storable and "\0" not in token:
            return str(token)
        what = "lone surrogates and NUL cannot be stored"
    else:
        what = f"it must return strings, not {type(token).__name__}"
    shown = " ".join(repr(token).split())[:_SHOWN_CHARACTERS]
    raise FunctionFailed(f"`tokenizer`: {name}: gave {shown}; {what}")


def _place(error: BaseException) -> str:
    """ " (MODULE.py line N)" where the user's code raised it; "" where it was not even called."""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is ours
    return f" ({os.path.basename(frames[-1].filename)} line {frames[-1].lineno})" if frames else ""


def _function_of(name: str) -> Callable[[str], Any]:
    module = _module_of(name)
    place = getattr(module, "__file__", None) or "built in"
    found: Any = module
    for part in name.partition(":")[2].split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UsageError(
                f"`tokenizer`: {name}: no {part!r} in {module.__name__} ({place})"
            ) from None
    if not callable(found):
        raise UsageError(f"`tokenizer`: {name}: is not a function ({place})")
    return found  # type: ignore[no-any-return]


def _module_of(name: str) -> Any:
    module_name = name.partition(":")[0]
    # Last, so that no module of the working directory replaces a library.
    sys.path.extend(path for path in _working_directory() if path not in sys.path)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UsageError(
                f"`tokenizer`: {name}: no module {error.name!r} in the working directory or among "
                "those installed"
            ) from None
        raise UsageError(_import_failure(name, error)) from error
    except (Exception, SystemExit) as error:
        raise UsageError(_import_failure(name, error)) from error


def _import_failure(name: str, error: BaseException) -> str:
    return f"`tokenizer`: {name}: importing it failed ({type(error).__name__}: {_one_line(error)})"


def _working_directory() -> list[str]:
    try:
        return [os.getcwd()]
    except OSError:  # it was removed
        return []


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
