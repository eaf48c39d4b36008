"""What opens the doors: keys in a file, tokens of an identity provider, and how often each may knock."""

from gateway.adapters.access.key_file import KeyFile
from gateway.adapters.access.rates import Rates
from gateway.adapters.access.tokens import KeySet, Tokens

__all__ = ["KeyFile", "KeySet", "Rates", "Tokens"]
