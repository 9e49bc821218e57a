"""The native backend: our own agent, on an LLM library that is loaded when the first session is opened."""
