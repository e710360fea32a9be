"""The recommender without one piece of its machinery each; a variant is installed before the service is built."""

import asyncio
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple


def _replace(where: str, what: object) -> None:
    """Put something else in the place of `module:name`."""
    module, _, name = where.partition(":")
    setattr(import_module(module), name, what)


def nothing_replaced() -> None:
    """Replace nothing."""


def plain_uvicorn() -> None:
    """uvicorn's own HTTP protocol, and FastAPI for every request."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    _replace("servicekit.run:HttpProtocol", HttpToolsProtocol)


def asgi_shortcut() -> None:
    """uvicorn's own HTTP protocol, and the fast path as the outermost ASGI callable."""
    from bench.ablation.asgi_shortcut import AsgiShortcut

    plain_uvicorn()
    create_app = import_module("recommender_api.app").create_app
    _replace("recommender_api.app:create_app", lambda settings: AsgiShortcut(create_app(settings)))


def no_fast_path() -> None:
    """The own HTTP protocol, and FastAPI for every request."""

    _replace("recommender_api.app:FastPath", lambda *_: None)


def no_remembered_head() -> None:
    """Every request's head is parsed, also one that is the last one's but for the URL."""
    from servicekit.http_protocol import HttpProtocol

    class Parsing(HttpProtocol):
        _rest = property(lambda _: b"", lambda _self, _rest: None)

    _replace("servicekit.run:HttpProtocol", Parsing)


def plain_loops() -> None:
    """Numba's own loops in the place of steps written for LLVM."""
    from bench.ablation import plain_loops as loops

    for name in ("zero_nan_and_find_range", "set_bits_above", "split_rows", "number_leaves", "four_sums"):
        _replace(f"ranking.lanes:{name}", getattr(loops, name))
    _replace("ranking.lanes:CAN_ADD", False)


def booster() -> None:
    """`Booster.predict` in the place of bit masks."""
    from ranking.forest import UnrepresentableError

    def refuse(*_: object) -> None:
        raise UnrepresentableError("ablation")

    _replace("ranking.ranker:Forest", refuse)


def step_by_step() -> None:
    """Recall and rank called one after the other for each request, in the place of one compiled call."""
    from ranking.engine import Engine

    Engine.rank_fused = lambda *_, **__: None  # type: ignore[method-assign]


def no_batcher() -> None:
    """Each request is ranked as soon as Redis has answered."""

    class Unbatched:
        async def rank(self, rank: Callable[[], Any]) -> Any:
            return rank()

    _replace("recommender_api.answers.main_path:RankingBatcher", Unbatched)


def orjson_items() -> None:
    """Each item is an object of Python, and orjson writes all of them."""
    import orjson

    from contracts.features import CHANNELS
    from ranking.recall import channels_of
    from recommender_api.answers.stored import StoredAnswer

    by_code = channels_of(range(2 ** len(CHANNELS)))

    def answer_of_best(model: Any, served: Any, best: Any, *, sequence: int, snapshot: str | None) -> Any:
        catalogue = model.engine.contents.catalogue
        ids = catalogue.ids.take(best.items).tolist()
        items = [
            {
                "dataset_id": id_,
                "title": catalogue.titles[position],
                "price": float(catalogue.prices[position]),
                "cover_image": catalogue.cover_images[position],
                "score": score,
                "reasons": by_code[code],
                "explanation": None,
            }
            for id_, position, score, code in zip(
                ids, best.items.tolist(), best.scores, best.codes.tolist(), strict=True
            )
        ]
        return StoredAnswer(served, ids, orjson.dumps(items, option=orjson.OPT_SERIALIZE_NUMPY), sequence, snapshot)

    _replace("recommender_api.answers.main_path:answer_of_best", answer_of_best)


def joined_items() -> None:
    """Prepared bytes of each item, joined in Python, with the scores that orjson writes."""
    from recommender_api.answers.items import BY_CHANNELS, answer_of

    def answer_of_best(model: Any, served: Any, best: Any, *, sequence: int, snapshot: str | None) -> Any:
        ends = BY_CHANNELS.texts(best.codes)
        return answer_of(model, served, best.items, best.scores, ends, sequence=sequence, snapshot=snapshot)

    _replace("recommender_api.answers.main_path:answer_of_best", answer_of_best)


def _redis_client(name: str) -> Callable[[], None]:
    def install() -> None:
        from bench.ablation import redis_clients

        _replace("recommender_api.redis_store.client:MultiplexedConnection", getattr(redis_clients, name))

    return install


def no_malloc_settings() -> None:
    """glibc's allocator and Arrow's as they are by default."""

    _replace("recommender_api.models.malloc:configure_malloc", lambda: None)
    _replace("recommender_api.models.registry_poller:trim_heap", lambda: None)


def process_pool() -> None:
    """A process of `ProcessPoolExecutor` unpacks and checks a bundle, at the service's own priority."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    async def run_in_subprocess(function: Callable[..., Any], *args: object) -> Any:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *args)

    for module in ("activation", "registry"):
        _replace(f"recommender_api.models.{module}:run_in_subprocess", run_in_subprocess)


class Variant(NamedTuple):
    """What is replaced, and the environment that goes with it."""

    install: Callable[[], None]
    environment: Mapping[str, str] = {}


UNCHANGED, AVX2 = "unchanged", "AVX2 alone"
# What a request costs without them.
SERVING = {
    UNCHANGED: Variant(nothing_replaced),
    AVX2: Variant(nothing_replaced, {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""}),
    "uvicorn's protocol, FastAPI": Variant(plain_uvicorn),
    "uvicorn's protocol, fast path in ASGI": Variant(asgi_shortcut),
    "own protocol, FastAPI": Variant(no_fast_path),
    "every head parsed": Variant(no_remembered_head),
    # What Numba keeps beside the source was compiled with the steps that this one replaces.
    "Numba's loops": Variant(plain_loops, {"NUMBA_CACHE_DIR": "numba"}),
    "Booster.predict": Variant(booster),
    "step by step": Variant(step_by_step),
    "ranked without batches": Variant(no_batcher),
    "orjson writes items": Variant(orjson_items),
    "joined bytes": Variant(joined_items),
    "redis-py": Variant(_redis_client("RedisPy")),
    "coredis": Variant(_redis_client("Coredis")),
    "valkey-glide": Variant(_redis_client("ValkeyGlide")),
}
# What a change of a large model costs without them.
LOADING = {
    UNCHANGED: Variant(nothing_replaced),
    "glibc's defaults": Variant(no_malloc_settings),
    "ProcessPoolExecutor": Variant(process_pool),
}
VARIANTS = SERVING | LOADING
