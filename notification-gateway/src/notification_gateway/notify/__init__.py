"""Messages that a person or a script asks for, past the policy."""
