"""Alert signals: taken once, judged by the policy, and turned into incidents and notifications in one transaction."""
