"""The example's models: training code, and what it takes to feed them."""
