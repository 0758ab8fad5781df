"""Placement and precision of servers together, under budgets of accuracy (docs/model.md 17)."""
