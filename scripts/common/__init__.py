"""What all rooms use: errors that the user can correct, whole files, records, digests of code."""
