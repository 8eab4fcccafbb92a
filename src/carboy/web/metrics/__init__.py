"""Counters, gauges and histograms, and where Prometheus reads them."""
