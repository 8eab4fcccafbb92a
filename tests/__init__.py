"""The tests; a package, so that none of that name among the installed ones is imported in its place."""
