"""Frozen data classes, typed errors and the solver-free verifier; numpy and stdlib only."""
