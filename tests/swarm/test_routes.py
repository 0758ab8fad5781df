"""Sessions as they are shown to PETALS' client: what needs no swarm."""

from __future__ import annotations

import json
import subprocess
import sys

from swarmplan.tests.extras import needs

#: In a process of its own: the remedies change what is imported.
SCRIPT = """
import json
from swarmplan.swarm.compat import apply_remedies
apply_remedies("client")
from swarmplan.swarm.routes import SessionView

class Manager:
    def get_retry_delay(self, attempt_no):
        return 0.0 if attempt_no == 0 else 2.0 ** (attempt_no - 1)
    def on_request_success(self, peer_id):
        pass

class Peer:
    def to_base58(self):
        return "a"

view = SessionView(Manager(), lambda _: None, pauses=0.5)
before = [view.get_retry_delay(k) for k in range(4)]
view.on_request_success(Peer())
print(json.dumps([before, [view.get_retry_delay(k) for k in range(4)]]))
"""


def test_pauses_are_by_size_until_the_session_has_begun() -> None:
    needs("swarm")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    before, after = json.loads(done.stdout.splitlines()[-1])
    assert before == [0.0, 0.5, 1.0, 2.0]
    assert after == [0.0, 1.0, 2.0, 4.0]
