"""The durable store: sessions, chats and their logs, inbox, turns, changes, agent sessions and leases."""
