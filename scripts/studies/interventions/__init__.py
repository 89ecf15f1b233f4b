"""The study on what freezing cells of a training costs, and whether LCA predicts it."""
