"""Drift: whether what comes in, or what goes out, has changed since the model was trained.

A reference profile (:mod:`profiles`) cuts every feature into fixed cells, so live counts of any workers and windows
simply add up. :mod:`distances` says how far a window has moved, for people. :mod:`scores` and :mod:`detector` decide:
they bet on the live counts, so that a look every ten minutes for a year raises no more false alarms than declared.
:mod:`joint` sees what no single feature shows, :mod:`estimate` says how good the answers probably are before labels
come, :mod:`watch` keeps one deployment's alarms, and :mod:`causes` tells whose fault it is. Nothing here reads a clock
or a store, and nothing here acts.
"""
