"""The story: real flights out of New York in 2013, served, judged, promoted and demoted. ``make demo`` plays it.

Nothing here reaches into the gateway: it is a client of the two HTTP doors, the registry and the feature store.
"""
