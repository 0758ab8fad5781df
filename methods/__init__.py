"""Whole methods by name: who hosts what, which router goes with it, and what is proven."""
