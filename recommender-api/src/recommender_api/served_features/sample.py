"""Which users are in the sample."""

from zlib import crc32

_PLACES = 2**32
# So that the sample is another one than that of any other use of the checksum.
_KEY = crc32(b"served features")


class UserSample:
    """A `share` of all users, the same in every replica and after every restart."""

    def __init__(self, share: float) -> None:
        self._end = int(share * _PLACES)

    def has(self, user_id: int) -> bool:
        """Return whether a user is in the sample."""
        return crc32(b"%d" % user_id, _KEY) < self._end


NOBODY = UserSample(0.0)
