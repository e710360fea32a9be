"""Messages that a person or a script sends directly, without the policy."""
