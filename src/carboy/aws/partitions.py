"""The partitions of AWS: the domain in which the endpoints of a region are."""

_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}


def dns_suffix(region: str) -> str:
    """Return the domain of a region's endpoints: `amazonaws.com`, in China `amazonaws.com.cn`.

    Source: botocore's `endpoints.json`, `dnsSuffix` of each partition.
    """
    return next((suffix for start, suffix in _SUFFIXES.items() if region.startswith(start)), "amazonaws.com")
