"""The versions in Redis that are read together: the active one, and those that it adds to."""

from collections.abc import Sequence

from contracts import redis_keys
from contracts.snapshot import SnapshotManifest, content_name
from feature_sync.connections import AnyRedis, get_many
from feature_sync.marks import Marks
from feature_sync.snapshots.listed_users import listed_users


async def read_chain(redis: AnyRedis) -> tuple[str, ...]:
    """Return the active version and its bases, the newest first; nothing without a version."""
    (pointer,) = await get_many(redis, [redis_keys.SNAPSHOT_POINTER])
    if pointer is None:
        return ()
    active = pointer.decode("utf-8", "replace")
    (bases,) = await get_many(redis, [redis_keys.snapshot_bases(active)])
    return (active, *(bases or b"").decode("utf-8", "replace").split())


async def get_users(redis: AnyRedis, chain: Sequence[str], users: Sequence[int]) -> list[bytes | None]:
    """Return the users' blobs as readers see them: of the first version with a key; None for removed ones."""
    found: list[bytes | None] = [None] * len(users)
    unknown = list(range(len(users)))
    for version in chain:
        if not unknown:
            break
        values = await get_many(redis, [redis_keys.user_features(version, users[place]) for place in unknown])
        for place, value in zip(unknown, values, strict=True):
            found[place] = value
        unknown = [place for place in unknown if found[place] is None]
    return [value or None for value in found]


async def is_whole(redis: AnyRedis, chain: Sequence[str]) -> bool:
    """Return whether the versions have their list of users, and the keys of one batch of them.

    A lost node of a cluster has some of these.
    """
    for version in chain:
        if not await redis.exists(redis_keys.snapshot_users(version)):
            return False
        async for users in listed_users(redis, version):
            if not users:
                continue
            if None in await get_many(redis, [redis_keys.user_features(version, user) for user in users]):
                return False
            break
    return True


def find_bases(manifest: SnapshotManifest, chain: Sequence[str], marks: Marks) -> tuple[str, ...]:
    """Return the versions of a chain that a snapshot's increment adds to; nothing: its users are written as a whole.

    A user who was forgotten since the base has no key there, but may be in the snapshot, unchanged.
    """
    increment = manifest.increment
    if increment is None or not chain or content_of(chain[0]) == content_name(manifest):
        return ()
    contents = [content_of(version) for version in chain]
    bases = chain[contents.index(increment.base) :] if increment.base in contents else ()
    if len(bases) > redis_keys.MAX_BASES or marks.later_than(increment.base_until.timestamp()).moments:
        return ()
    return tuple(bases)


def content_of(version: str) -> str:
    """Return the `content_name` of a version: the version in Redis without the part of its own."""
    return version.rpartition(".")[0]
