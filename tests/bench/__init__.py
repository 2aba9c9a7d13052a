"""`python -m tests.bench [ROW…]` → the numbers we promise, each beside its yardstick of the same run.

Ratios are what counts: a yardstick alternates with ours, pair by pair, so that a machine that is slow
today is slow for both. The agent is a process of its own, in private namespaces, on a real kernel.
"""
