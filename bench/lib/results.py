"""Result files and where their figures come from."""

from __future__ import annotations

from typing import Any


def origin(result: dict[str, Any]) -> str:
    """The days, the machine and the commits of the runs that a result shows."""
    machine = result["machine"]
    shown = result.get("shown") or {
        "dates": [machine["date"]],
        "machines": [(machine["cpu"]["model"], machine["cores"])],
        "commits": [machine["commit"]] if machine.get("commit") else [],
        "uncommitted_changes": machine.get("uncommitted_changes"),
    }
    dates = dict.fromkeys((shown["dates"][0], shown["dates"][-1]))
    parts = [" to ".join(dates), *(f"{cpu}, {cores} cores" for cpu, cores in shown["machines"])]
    if commits := [commit[:7] for commit in shown["commits"]]:
        parts.append(f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}")
    return ", ".join(parts + ["with uncommitted changes"] * bool(shown["uncommitted_changes"]))
