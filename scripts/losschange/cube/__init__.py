"""The cube: its format on disk, writing it, and the parts that a running training leaves."""
