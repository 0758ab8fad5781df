"""Placement and routes at the proven optimum, or with a proven gap (docs/exact.md)."""
