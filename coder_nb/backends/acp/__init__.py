"""Agents that speak the Agent Client Protocol on their standard input and output, one process a session."""
