"""What every request passes: the middleware, limits, problem responses."""
