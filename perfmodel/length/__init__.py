"""How many tokens a request will produce: distributions, never a bare number (docs/length.md)."""
