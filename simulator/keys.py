"""Keys of events in the calendar of a run: whose they are, and what happens."""

from __future__ import annotations

#: Kinds of a session's events: it comes to a server; the same, with a token made; it is to stop;
#: from SENT on something that it sends goes on: into its present hop, then the answers of its hops.
ARRIVE, NEXT, STOP, SENT = 0, 1, 2, 3
#: A session's key: its row, the kind of event, its slot. A server's is negative: it comes first.
SLOT_BITS, KIND_BITS = 22, 10
SLOTS, KINDS = (1 << SLOT_BITS) - 1, (1 << KIND_BITS) - 1
