"""The options that say how inputs are read, small enough to travel to workers as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Those options of `PreprocessConfig` that readers need; `dataclasses.asdict` is JSON-able.

    Attributes:
        text_column: the field of JSON Lines, or column of a table, that holds the text.
        ids_column: the column of a table that holds lists of tokens or of token ids.
        document_separator: the line that ends a document; None: every line is one.
        sentences: whether lines and documents are cut at sentence ends.
        max_unpacked: how many times its size a compressed file may unpack to; 0 = no limit.
        errors: what to do with bad lines of JSON ("strict" refuses them).
        vocabulary: where the tokens of integer ids are, as a path; None: a token is its number.
    """

    text_column: str | None = None
    ids_column: str | None = None
    document_separator: str | None = None
    sentences: bool = False
    max_unpacked: int = 500
    errors: str = "replace"
    vocabulary: str | None = None

    @classmethod
    def of(cls, config: Any) -> ReadOptions:
        """Those of a `PreprocessConfig`."""
        return cls.from_settings(
            {field.name: getattr(config, field.name) for field in dataclasses.fields(cls)}
        )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> ReadOptions:
        """Those of a manifest's settings (an older one lacks some), or of `dataclasses.asdict`."""
        names = [field.name for field in dataclasses.fields(cls)]
        given = {name: settings[name] for name in names if name in settings}
        if given.get("ids_column") is None:
            given["vocabulary"] = None
        return cls(**given)

    @property
    def column(self) -> str | None:
        """The column to read, of whatever kind."""
        return self.text_column if self.ids_column is None else self.ids_column

    @property
    def column_flag(self) -> str:
        """The flag that names it."""
        return "--text-column" if self.ids_column is None else "--ids-column"
