"""Will this flight out of New York arrive late? Data, histories, models and replay of the worked example.

A user's code, not the gateway's: it meets the gateway only in the feature store, the model registry and over HTTP.
Run as ``python -m models.flights.prepare`` from the root of the repository.
"""
