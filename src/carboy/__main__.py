"""`python -m carboy`: the same as `carboy`."""

from carboy.cli import main

main()
