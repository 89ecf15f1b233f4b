"""Figures of the paper: arrays in, matplotlib figures out. No files, no statistics."""
