"""What can be wrong with a bundle's archive."""


class MalformedBundleError(ValueError):
    """The archive is not a readable `.tar.gz` of a bundle's files, or is too large; it has to be made anew."""
