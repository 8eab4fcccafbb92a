"""The test lab: load, hosts, stand-ins of providers, soak runs. It is not in the wheel."""
