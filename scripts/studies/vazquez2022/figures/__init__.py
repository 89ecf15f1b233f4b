"""Figures of the paper, one module each: from summaries to what is drawn."""
