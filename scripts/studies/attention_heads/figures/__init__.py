"""Figures of the study of attention heads."""
