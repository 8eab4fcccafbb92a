"""What makes the reference pages."""
