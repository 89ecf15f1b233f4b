"""The study of Zhu et al. 2020: which groups of a translation model learn, exact and sampled."""
