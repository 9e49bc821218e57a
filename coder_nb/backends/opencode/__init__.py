"""opencode by its own server: one process for all chats, driven over HTTP, its words from one stream of events."""
