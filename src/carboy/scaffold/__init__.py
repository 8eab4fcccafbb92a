"""What `carboy new` writes: a service of one's own, or what an existing one lacks."""

from carboy.scaffold.adopting import Adoption, adopt
from carboy.scaffold.choices import CHOICES, Choices, parse_choices
from carboy.scaffold.names import check_name
from carboy.scaffold.writing import make_service

__all__ = ["CHOICES", "Adoption", "Choices", "adopt", "check_name", "make_service", "parse_choices"]
