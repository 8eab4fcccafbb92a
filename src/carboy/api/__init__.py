"""The OpenAPI document is the router, for any Flask application."""

from carboy.api.loading import load_document, prepare_document
from carboy.api.merge import merge
from carboy.api.model import Document
from carboy.api.router import blueprint
from carboy.api.strict_json import parse_json

__all__ = ["Document", "blueprint", "load_document", "merge", "parse_json", "prepare_document"]
