"""API keys: how they are made, kept, cached and checked."""
