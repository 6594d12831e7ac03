"""The site is built without a warning."""

from __future__ import annotations

import os
import subprocess
import sys

from document_blocks import ROOT


def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    page = (tmp_path / "python-api.html").read_text(encoding="utf-8")
    assert "most_similar" in page
    assert "--vector-dim" in (tmp_path / "cli.html").read_text(encoding="utf-8")
