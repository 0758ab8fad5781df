"""Block placement and request routing for PETALS swarms: planned, proven, simulated."""

__version__ = "0.1.0"

__all__ = ["__version__"]
