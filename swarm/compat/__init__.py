"""Remedies for what is broken between PETALS 2.2.0.post1 and the packages of today."""

from .remedies import REMEDIES, Applied, Remedy, apply_remedies

__all__ = ["REMEDIES", "Applied", "Remedy", "apply_remedies"]
