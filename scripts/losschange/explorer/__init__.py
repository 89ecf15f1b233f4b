"""A page to explore cubes in: it opens from the disk, offline, and needs no server."""
