"""What if: edits of a scenario, their effect, the worth of servers, sweeps, sizing, grouping."""
