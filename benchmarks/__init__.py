"""What coder-nb promises of its speed, measured: `python -m benchmarks`; see `benchmarks/row.py` for what a row is."""
