"""What Belvedere costs, beside what others cost: one table, measured in one run on one machine.

Run `make bench`, or `python -m benchmarks` in an environment made from `requirements.lock`.
`README.md` says how to read the table.
"""
