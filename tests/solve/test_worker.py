"""The process that solves, from inside."""

import subprocess
import sys

NOISE = """
import os
from swarmplan.solve.worker import private_stdout

pipe = private_stdout()
print("noise", flush=True)
os.write(1, b"noise of a library")
os.write(2, b"noise of a library")
pipe.write(b"told")
pipe.flush()
"""


def test_what_others_print_does_not_get_between_its_messages() -> None:
    done = subprocess.run([sys.executable, "-c", NOISE], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"told", b"")
