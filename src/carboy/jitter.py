"""Random numbers for jitter, sampling and choices.

They come from the system: neither a seed that an application sets nor a fork or a snapshot makes them equal in several
processes, and an application's own numbers stay as its seed has them.
"""

from random import SystemRandom

SYSTEM_RANDOM = SystemRandom()
