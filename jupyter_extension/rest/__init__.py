"""What each route does, by noun: one call of the runtime each. `routes.py` says under which address, and who may."""
