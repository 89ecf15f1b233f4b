"""What attention heads do, what they are worth, and what LCA says of them (Voita et al. 2019)."""
