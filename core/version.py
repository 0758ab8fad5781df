"""Which swarmplan this is, as files and reports name it."""

__version__ = "0.1.0"

TOOL = f"swarmplan {__version__}"
