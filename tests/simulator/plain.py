"""What a script prints in a process of its own, so that it can be run without compiling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def told(script: str, **environment: str) -> Any:
    """The JSON document that a script prints under such an environment."""
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(found.stdout)
