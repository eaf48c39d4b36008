"""What opens the doors: keys in a file, and how often each may knock.

Tokens of an identity provider (:mod:`gateway.adapters.access.tokens`) are imported by whoever has one: they bring
cryptography along.
"""

from gateway.adapters.access.key_file import KeyFile
from gateway.adapters.access.rates import Rates

__all__ = ["KeyFile", "Rates"]
