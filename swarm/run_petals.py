"""Run one of PETALS' own programs after the remedies: ``python -m swarmplan.swarm.run_petals``.

``dht ...`` and ``server ...`` take the flags of ``petals.cli.run_dht`` and ``run_server``.
"""

from __future__ import annotations

import sys
from importlib import import_module

from .clock import follow_environment
from .compat import apply_remedies


def main() -> None:
    """Mend, then hand over to PETALS."""
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    if kind not in ("dht", "server"):
        sys.exit("usage: python -m swarmplan.swarm.run_petals dht|server [flags of PETALS]")
    apply_remedies("server" if kind == "server" else "client")
    if kind == "server":
        follow_environment()
    sys.argv = [f"run_{kind}", *sys.argv[2:]]
    import_module(f"petals.cli.run_{kind}").main()


if __name__ == "__main__":
    main()
