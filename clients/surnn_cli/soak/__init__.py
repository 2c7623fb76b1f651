"""`surnn soak`: a real server under live streams and faults, and proof that nothing was lost."""
