"""Which calls of gRPC need a token; what no rule names does."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from serving.tokens import HEADER, REFUSAL, Tokens

#: The calls that anybody may make: a probe cannot send a token, and the answer names no model.
OPEN = frozenset({"/grpc.health.v1.Health/Check"})


class Admission(grpc.ServerInterceptor):
    """Refuses calls without a valid token, before a byte of their request is read.

    Args:
        tokens: the valid ones.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Pass a call on to its handler, or to the one that refuses it."""
        details = handler_call_details
        if details.method in OPEN or self._tokens.admit(_header(details)):
            return continuation(details)
        return _REFUSES


def _header(details: grpc.HandlerCallDetails) -> str | bytes | None:
    values = [value for name, value in details.invocation_metadata or () if name == HEADER]
    return values[0] if len(values) == 1 else None


def _refuse(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, REFUSAL)
    yield


# A stream's handler is called before the first message, and answers calls of every kind.
_REFUSES = grpc.stream_stream_rpc_method_handler(_refuse)
