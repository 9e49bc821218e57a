"""Claude by its Agent SDK: one warm client for each agent session, its native history in our store."""
