"""Stores records under the operator's name that somebody else signed, later than the real one."""

# Runs by itself beside a loopback swarm: forge.py PEER PREFIX KEY_FOLDER
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from swarmplan.core.errors import SwarmUnreachableError
from swarmplan.swarm.needs import prepare

prepare("client")

from swarmplan.swarm import signing  # noqa: E402
from swarmplan.swarm.live_dht import connect  # noqa: E402


class Forger(signing.PinnedValidator):
    """Believes itself."""

    def validate(self, record: Any) -> bool:
        return True


if __name__ == "__main__":
    peer, prefix, keys = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    dht = connect([peer])
    private, _ = signing.read_private_key(keys / "stranger")
    forger = Forger(signing.read_public_key(str(keys / "operator.pub")), prefix, private)
    dht.add_validators([forger])
    taken = 0
    for number in range(4):
        until = signing.dht_now_s() + 90_000 + number
        try:
            signing.store_plan(dht, forger, b"forged", until)
            taken += 1
        except SwarmUnreachableError as error:
            print("not taken:", error)
    print("stored", taken, flush=True)
    dht.shutdown()
    os._exit(0)
