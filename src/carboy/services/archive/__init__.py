"""The archive: keeps every webhook."""
