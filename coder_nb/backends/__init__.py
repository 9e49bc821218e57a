"""Adapters to agents: each turns one kind of wire into the few events of `base`, and lets nothing foreign through."""
