"""Used by all rooms: errors that the user can correct, complete files, records, code digests."""
