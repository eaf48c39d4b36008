"""The judge held to its figures: seeded simulations of ``shared/JUDGE.md`` section 6, and the peers' rules beside it.

``python -m benchmarks.judge`` prints every figure with its goal and exits 0 only if all are reached. Thousands of lives
run at once, as arrays, through the very functions of ``gateway.core.evidence`` that the judge bets with; that such a
life is the judge's, look by look, is itself a row of the table.
"""
