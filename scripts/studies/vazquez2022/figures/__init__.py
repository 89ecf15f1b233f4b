"""Figures of the paper, one module each: they draw summaries."""
