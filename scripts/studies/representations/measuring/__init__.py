"""What the study measures on trained models; the measures themselves are in `representations`."""
