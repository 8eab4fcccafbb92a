"""Counters, gauges and histograms for Prometheus, summed over the workers of an instance."""
