"""What every room uses: errors that the user can correct, whole files, records, digests of code."""
