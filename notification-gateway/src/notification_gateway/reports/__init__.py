"""The reports of the last runs of the pipeline: HTML pages that it posts, stored and shown as they are."""
