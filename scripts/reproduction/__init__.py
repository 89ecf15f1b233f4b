"""Stages of the reproduction of Vázquez et al. (2022): what is specific to it."""
