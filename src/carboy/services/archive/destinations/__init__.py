"""Destinations: pass what the archive keeps on, until each receiver has taken it."""
