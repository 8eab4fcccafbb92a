"""Fleece's `handlers`."""
