"""How long things take and how much memory they need: the one cost every part shares."""
