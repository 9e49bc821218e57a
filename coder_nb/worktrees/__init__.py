"""Git worktrees: one for each session, what changed in it, and the way of a change into the checkout."""
