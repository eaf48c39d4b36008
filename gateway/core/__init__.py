"""The rules: pure functions over frozen values. No framework, no clock, no I/O, no randomness of its own."""
