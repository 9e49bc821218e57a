"""The parts of the runtime in memory, by noun; `coder_nb.testing.memory_runtime` puts them together."""
