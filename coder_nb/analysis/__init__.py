"""What there is, as pandas DataFrames. It takes values of the core, encoded or decoded, and never opens a store."""
