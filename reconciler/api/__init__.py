"""What the agent knows and can be asked → HTTP with JSON on a unix socket."""
