"""Plots of a history, one call each: static, right in a saved notebook, readable in any theme and without colour.

    cnb.plots.cost(cnb.history(), by="week", of="model")

Each returns a `Plot`: it shows itself, has the frame it was drawn from and the matplotlib figure, and is saved by
`.save(path)`.
"""

from __future__ import annotations

from coder_nb.analysis.plots.comparing import agents, context, tools
from coder_nb.analysis.plots.plot import Plot
from coder_nb.analysis.plots.spending import cost, tokens
from coder_nb.analysis.plots.time import timeline

__all__ = ["Plot", "agents", "context", "cost", "timeline", "tokens", "tools"]
