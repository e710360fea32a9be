"""Which versions are kept, and the removal of the others."""
