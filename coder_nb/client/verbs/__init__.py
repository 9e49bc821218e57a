"""The verbs over the wire, by noun; `remote.Remote` is all of them together."""
