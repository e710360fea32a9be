"""The recommender without one piece of its machinery each; a variant is installed before the service is built."""

import asyncio
from collections.abc import Callable
from typing import Any


def nothing_replaced() -> None:
    """Serve as it is shipped."""


def plain_uvicorn() -> None:
    """uvicorn's own HTTP protocol, and FastAPI for every request."""
    import servicekit.run
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    servicekit.run.HttpProtocol = HttpToolsProtocol  # type: ignore[misc, assignment]


def asgi_shortcut() -> None:
    """uvicorn's own HTTP protocol, and the fast path as the outermost ASGI callable."""
    import recommender_api.app
    from bench.ablation.asgi_shortcut import AsgiShortcut

    plain_uvicorn()
    create_app = recommender_api.app.create_app
    recommender_api.app.create_app = lambda settings: AsgiShortcut(create_app(settings))  # type: ignore[assignment, return-value]


def no_fast_path() -> None:
    """The own HTTP protocol, and FastAPI for every request."""
    import recommender_api.app

    recommender_api.app.FastPath = lambda *_: None  # type: ignore[misc, assignment]


def no_remembered_head() -> None:
    """Every request's head is parsed, also one that is the last one's but for the URL."""
    import servicekit.run
    from servicekit.http_protocol import HttpProtocol

    class Parsing(HttpProtocol):
        _rest = property(lambda _: b"", lambda _self, _rest: None)  # type: ignore[assignment]

    servicekit.run.HttpProtocol = Parsing  # type: ignore[misc]


def plain_loops() -> None:
    """Numba's own loops in the place of steps written for LLVM."""
    import ranking.lanes
    from bench.ablation import plain_loops as loops

    for name in ("tame", "above", "part", "number", "four_sums"):
        setattr(ranking.lanes, name, getattr(loops, name))
    ranking.lanes.CAN_ADD = False


def booster() -> None:
    """`Booster.predict` in the place of bit masks."""
    import ranking.ranker
    from ranking.forest import UnrepresentableError

    def refuse(_booster: object) -> None:
        raise UnrepresentableError("ablation")

    ranking.ranker.Forest = refuse  # type: ignore[misc, assignment]


def step_by_step() -> None:
    """Recall and rank called one after the other for each request, in the place of one compiled call."""
    from ranking.engine import Engine

    Engine.rank_fused = lambda *_, **__: None  # type: ignore[method-assign, assignment]


def no_batcher() -> None:
    """Each request ranks as soon as Redis has answered."""
    import recommender_api.answers.main_path

    class Directly:
        async def rank(self, rank: Callable[[], Any]) -> Any:
            return rank()

    recommender_api.answers.main_path.RankingBatcher = Directly  # type: ignore[misc, assignment]


def orjson_items() -> None:
    """Each item is an object of Python, and orjson writes all of them."""
    import orjson

    import recommender_api.answers.main_path
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
            for id_, position, score, code in zip(ids, best.items.tolist(), best.scores, best.codes.tolist(), strict=True)
        ]
        return StoredAnswer(served, ids, orjson.dumps(items, option=orjson.OPT_SERIALIZE_NUMPY), sequence, snapshot)

    recommender_api.answers.main_path.answer_of_best = answer_of_best


def joined_items() -> None:
    """Prepared bytes of each item, joined in Python, with the scores that orjson writes."""
    import recommender_api.answers.main_path
    from recommender_api.answers.items import BY_CHANNELS, answer_of

    def answer_of_best(model: Any, served: Any, best: Any, *, sequence: int, snapshot: str | None) -> Any:
        ends = BY_CHANNELS.texts(best.codes)
        return answer_of(model, served, best.items, best.scores, ends, sequence=sequence, snapshot=snapshot)

    recommender_api.answers.main_path.answer_of_best = answer_of_best


def _redis_client(name: str) -> Callable[[], None]:
    def install() -> None:
        import recommender_api.redis_store.client
        from bench.ablation import redis_clients

        recommender_api.redis_store.client.MultiplexedConnection = getattr(redis_clients, name)  # type: ignore[misc]

    return install


def no_malloc_settings() -> None:
    """glibc's allocator and Arrow's as they are by default."""
    import recommender_api.models.malloc
    import recommender_api.models.registry_poller

    recommender_api.models.malloc.configure_malloc = lambda: None
    recommender_api.models.registry_poller.trim_heap = lambda: None


def process_pool() -> None:
    """A process of `ProcessPoolExecutor` unpacks and checks a bundle, at the service's own priority."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    import recommender_api.models.activation
    import recommender_api.models.registry

    async def run_in_subprocess(function: Callable[..., Any], *args: object) -> Any:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *args)

    for module in (recommender_api.models.activation, recommender_api.models.registry):
        module.run_in_subprocess = run_in_subprocess  # type: ignore[attr-defined]


AS_SHIPPED = "as shipped"
# What a request costs without them.
SERVING: dict[str, Callable[[], None]] = {
    AS_SHIPPED: nothing_replaced,
    "uvicorn's protocol, FastAPI": plain_uvicorn,
    "uvicorn's protocol, fast path in ASGI": asgi_shortcut,
    "own protocol, FastAPI": no_fast_path,
    "every head parsed": no_remembered_head,
    "Numba's loops": plain_loops,
    "Booster.predict": booster,
    "step by step": step_by_step,
    "no batcher": no_batcher,
    "orjson writes items": orjson_items,
    "joined bytes": joined_items,
    "redis-py": _redis_client("RedisPy"),
    "coredis": _redis_client("Coredis"),
    "valkey-glide": _redis_client("ValkeyGlide"),
}
# What a change of a large model costs without them.
LOADING: dict[str, Callable[[], None]] = {
    "glibc's defaults": no_malloc_settings,
    "ProcessPoolExecutor": process_pool,
}
VARIANTS = SERVING | LOADING
