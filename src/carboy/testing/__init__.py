"""The test kit: what Carboy is tested with, and what its users test with. Nothing in the product imports it."""
