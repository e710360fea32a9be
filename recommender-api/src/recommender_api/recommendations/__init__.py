"""Questions and answers: endpoints, the main path, and what is written after an answer."""
