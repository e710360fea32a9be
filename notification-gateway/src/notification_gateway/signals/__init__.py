"""Alert signals: deduplicated, evaluated by the policy, and stored with their effects in one transaction."""
