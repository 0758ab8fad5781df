"""Figures of a model, under the name that scripts of the live side know."""

from __future__ import annotations

from ..scenarios.checkpoint import ModelFigures, model_figures

__all__ = ["ModelFigures", "model_figures"]
