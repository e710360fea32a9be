"""What the garbage collector need not look at."""

import gc


def leave_alone() -> None:
    """Let everything that is here now be: it stays, and to look through it takes up to a tenth of a second.

    That long nobody is answered, so this is to be called before anybody is.
    """
    gc.collect()
    gc.freeze()
