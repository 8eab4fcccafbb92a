"""The OpenAPI document is the router, for any Flask application."""

from carboy.api.loading import load_document, prepare_document
from carboy.api.merge import merge
from carboy.api.model import Document
from carboy.api.raw_body import check_json_type
from carboy.api.router import blueprint
from carboy.api.security import Answered, Caller
from carboy.raw_request import RawRequest
from carboy.strict_json import parse_json

__all__ = [
    "Answered",
    "Caller",
    "Document",
    "RawRequest",
    "blueprint",
    "check_json_type",
    "load_document",
    "merge",
    "parse_json",
    "prepare_document",
]
