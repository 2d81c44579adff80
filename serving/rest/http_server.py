"""The HTTP server of the REST API: aiohttp on a thread of its own, with every size and time bounded."""

import asyncio
import concurrent.futures
import contextlib
import ssl
import threading
from typing import Any

from aiohttp import web

from serving.engine.deadline import Caller, ends_in, waiting
from serving.errors import HTTP_STATUS, InvalidArgument, code_of
from serving.process import listening
from serving.rest.api import Reply, RestApi, refusal
from serving.rest.callers import Callers
from serving.rest.inflation import Inflater
from serving.rest.routes import LIVE, READY
from serving.service_names import CLIENT
from serving.tokens import HEADER, REFUSAL, Tokens

#: Seconds a connection may stay without a whole request header.
IDLE_SECONDS = 10.0
#: Seconds a body may take, and one more for each megabyte of it that has come.
BODY_SECONDS = 10.0
_MEGABYTE = 1 << 20
#: Paths that tell the server's health.
PROBES = (LIVE, READY)


class RestServer:
    """Listens for HTTP and lets a RestApi answer.

    Args:
        api: what answers.
        callers: whom it answers.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        threads: requests that are worked on at a time.
        queue: requests that may wait beyond those before 429 answers.
        timeout: seconds a request may take once its body is there; 0 means no limit.
        max_body: largest body in bytes, after decompression.
        idle_seconds: seconds a connection may stay without a whole request header.
        tls: listen with TLS; None for plain HTTP.
        tokens: those of which a request needs one; None for none.
        shared: let other processes listen on the port as well.

    Raises:
        UnavailableError: the port is taken; on start.
    """

    def __init__(
        self,
        api: RestApi,
        callers: Callers,
        *,
        host: str,
        port: int,
        threads: int,
        queue: int,
        timeout: float,
        max_body: int,
        idle_seconds: float = IDLE_SECONDS,
        tls: ssl.SSLContext | None = None,
        tokens: Tokens | None = None,
        shared: bool = False,
    ) -> None:
        self._shared = shared
        self._api, self._callers = api, callers
        self._host, self._wanted = host, port
        self._room, self._timeout, self._max_body = threads + queue, timeout, max_body
        self._idle_seconds, self._tls, self._tokens = idle_seconds, tls, tokens
        self._workers = concurrent.futures.ThreadPoolExecutor(threads, "rest")
        # Health is told even while every worker is busy with a long body.
        self._prober = concurrent.futures.ThreadPoolExecutor(1, "rest-health")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest", daemon=True)
        self._runner: web.ServerRunner | None = None
        self._busy = 0
        self._draining = False
        self.port = port

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except OSError as error:
            self.stop(0)
            raise listening.refusal(f"{self._host}:{self._wanted}", error, "--rest_api_port") from None

    def drain(self) -> None:
        """Refuse new requests with 503; those in flight go on."""
        self._draining = True

    def stop(self, grace: float) -> None:
        """Close, giving requests in flight some seconds to finish."""
        self.drain()
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(grace), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self._workers.shutdown(wait=False)
        self._prober.shutdown(wait=False)

    async def _listen(self) -> None:
        server = web.Server(
            self._handle,
            keepalive_timeout=self._idle_seconds,
            access_log=None,
            # Its own decompression takes data that end too early for whole.
            auto_decompress=False,
            # A caller that hangs up while its request waits gives its place to the next.
            handler_cancellation=True,
            lingering_time=1.0,
        )
        self._runner = web.ServerRunner(server, handle_signals=False)
        await self._runner.setup()
        host = self._host.strip("[]")
        site = web.TCPSite(self._runner, host, self._wanted, reuse_port=self._shared, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self, grace: float) -> None:
        if self._runner is None:
            return
        for site in list(self._runner.sites):
            await site.stop()
        deadline = self._loop.time() + grace
        while self._busy and self._loop.time() < deadline:
            await asyncio.sleep(0.005)
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        problem = self._refused(request)
        if problem is not None:
            return _response(problem)
        self._busy += 1
        try:
            body = await self._body(request)
            reply = body if isinstance(body, Reply) else await self._answer(request, body)
        finally:
            self._busy -= 1
        return _response(reply)

    def _refused(self, request: web.BaseRequest) -> Reply | None:
        unwanted = self._callers.refusal(request.method, request.path, request.headers)
        if unwanted is not None:
            return refusal(403, unwanted)
        if not self._is_admitted(request):
            return Reply(401, refusal(401, REFUSAL).body, headers={"WWW-Authenticate": "Bearer"})
        if self._draining and request.path != "/livez":
            return Reply(
                503, refusal(503, "the server is shutting down").body, headers={"Connection": "close"}
            )
        if self._busy >= self._room and request.path not in PROBES:
            return Reply(
                429, refusal(429, "too many requests are waiting").body, headers={"Retry-After": "1"}
            )
        return None

    def _is_admitted(self, request: web.BaseRequest) -> bool:
        if self._tokens is None or self._api.is_open(request.method, _path(request)):
            return True
        headers = request.headers.getall(HEADER, [])
        return len(headers) == 1 and self._tokens.admit(headers[0])

    async def _body(self, request: web.BaseRequest) -> bytes | Reply:
        too_large = refusal(413, f"the body is larger than {self._max_body} bytes")
        if (request.content_length or 0) > self._max_body:
            return too_large
        parts, size, started = [], 0, self._loop.time()
        try:
            inflater = Inflater(request.headers.get("Content-Encoding", ""))
            async with asyncio.timeout(BODY_SECONDS) as limit:
                async for part in request.content.iter_any():
                    for piece in inflater.pieces(part):
                        size += len(piece)
                        if size > self._max_body:
                            return too_large
                        parts.append(piece)
                    limit.reschedule(started + BODY_SECONDS + size / _MEGABYTE)
            inflater.end()
        except TimeoutError:
            return refusal(408, "the body did not arrive in time")
        except InvalidArgument as error:
            return refusal(error.http_status, error.message)
        except (web.PayloadAccessError, web.RequestPayloadError, ValueError, OSError) as error:
            return refusal(400, f"cannot read the body: {error}")
        return b"".join(parts)

    async def _answer(self, request: web.BaseRequest, body: bytes) -> Reply:
        path = _path(request)
        origin = request.headers.get("Origin", "")
        pool = self._prober if path in PROBES else self._workers
        client = request.headers.get(CLIENT) or _connection(request)
        gone = threading.Event()
        caller = Caller(lambda: not gone.is_set(), ends_in(self._timeout or None))
        work = self._loop.run_in_executor(
            pool, self._work, caller, request.method, path, body, origin, client
        )
        try:
            async with asyncio.timeout(self._timeout or None):
                return await asyncio.shield(work)
        except TimeoutError as error:
            with contextlib.suppress(asyncio.CancelledError):
                work.cancel()
            return refusal(HTTP_STATUS[code_of(error)], "Timed out waiting for notification")
        except asyncio.CancelledError:
            gone.set()
            work.cancel()
            raise

    def _work(self, caller: Caller, *request: Any) -> Reply:
        with waiting(caller):
            return self._api.answer(*request)


def _path(request: web.BaseRequest) -> str:
    """Return the path as it was sent, percent signs and all, without query."""
    return request.raw_path.partition("?")[0]


def _connection(request: web.BaseRequest) -> str:
    """Name the connection of a client that does not say who it is."""
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    return str(peer)


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.kind, **reply.headers}
    return web.Response(status=reply.status, body=reply.body, headers=headers)
