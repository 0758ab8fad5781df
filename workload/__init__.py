"""Requests of a workload: drawn by seed, at a load, with what policies know of them."""
