"""Which server hosts which blocks: one callable a policy, ``Problem`` in, ``Placement`` out."""
