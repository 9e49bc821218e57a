"""Read-only readers of what agents left on disk: one small file an agent, one protocol, open to others."""
