"""The study of the paper itself: Vázquez et al. 2022."""
