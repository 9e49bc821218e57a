"""What can be asked of the runtime (`core.verbs.Verbs`), by noun; `runtime.Runtime` is all of it together."""
