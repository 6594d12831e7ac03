"""A `Reporter` that keeps what it receives."""

from __future__ import annotations

from fastw2v.training.reporting import Progress


class Recorder:
    """lines: of both levels, warnings marked. phases, events: as they come."""

    def __init__(self, lines: list[str] | None = None) -> None:
        self.lines = [] if lines is None else lines
        self.phases: list[tuple[str, int, int]] = []
        self.events: list[Progress] = []

    def info(self, line: str) -> None:
        self.lines.append(line)

    def warning(self, line: str) -> None:
        self.lines.append(f"warning: {line}")

    def bytes(self, phase: str, done: int, total: int) -> None:
        self.phases.append((phase, done, total))

    def items(self, phase: str, done: int, total: int) -> None:
        self.phases.append((phase, done, total))

    def training(self, progress: Progress) -> None:
        self.events.append(progress)
