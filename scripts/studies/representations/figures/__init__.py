"""Figures S1 to S8."""
