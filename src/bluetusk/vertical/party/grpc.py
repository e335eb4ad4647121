"""Carries sessions over gRPC with mutual TLS: one party listens, the other connects; each accepts one certificate only.

There is one method, a stream of frames each way. gRPC holds a sender back while the receiver does not keep up. What it
reads ahead is bounded for each connection, and a listener accepts few connections. A broken connection is restored
until the session's patience ends.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...errors import ProtocolAbort
from .certs import Identity, only_certificate
from .connection import CHUNK, Connection
from .session import Session
from .transport import drain, typed

__all__ = ["Dialler", "Listener"]

_METHOD = "/bluetusk.Party/Converse"
_MESSAGE = CHUNK + (1 << 16)  # a piece of a frame and its header, or a head
_OPTIONS = [
    ("grpc.max_receive_message_length", _MESSAGE),
    ("grpc.max_send_message_length", _MESSAGE),
    ("grpc.http2.bdp_probe", 0),  # else gRPC reads further ahead, the faster a peer sends, without a limit
    ("grpc.http2.lookahead_bytes", 4 << 20),  # for each connection
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.so_reuseport", 0),
]
CONNECTIONS = 8
"""Largest number of connections of a listener, of which a session uses the latest: gRPC keeps up to 4 MiB of each.

Closed ones do not count; one whose other end is gone without a word is found out by keepalive, in half a minute.
"""
_HANDSHAKE = 10_000  # milliseconds; strangers who connect and say nothing count as connections until then
_REFUSALS = 3  # refusals in a row before a closed port no longer counts as a listener that is just ending
_FLUSH = 0.2  # seconds that gRPC has for a last message before its channel is closed
_PAUSE = (0.05, 2.0)  # seconds between attempts to connect: the first, and the longest


def _grpc() -> Any:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes to standard error, bypassing Python's logging
    try:
        import grpc
    except ImportError:
        raise ImportError('parties need grpcio: pip install "bluetusk[vertical]"') from None
    return grpc


class Listener:
    """Serves a session at an address ("0.0.0.0:7443"; port 0 takes any, see ``address``)."""

    def __init__(self, session: Session, identity: Identity, address: str) -> None:
        grpc = _grpc()
        self._session = session
        pinned = only_certificate(identity.peer_certificate)

        def converse(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            (pem,) = context.auth_context().get("x509_pem_cert", [b""])
            if only_certificate(pem) != pinned:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "the peer presented another certificate than expected")
            connection = session.connect()
            threading.Thread(target=drain, args=(requests, connection, session), daemon=True).start()
            yield from connection.messages()

        handler = grpc.method_handlers_generic_handler(
            "bluetusk.Party", {"Converse": grpc.stream_stream_rpc_method_handler(converse)}
        )
        self._server = grpc.server(
            ThreadPoolExecutor(CONNECTIONS),
            handlers=[handler],
            options=[
                *_OPTIONS,
                ("grpc.max_allowed_incoming_connections", CONNECTIONS),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE),
            ],
            maximum_concurrent_rpcs=CONNECTIONS,
        )
        credentials = grpc.ssl_server_credentials(
            [(identity.key, identity.certificate)], identity.peer_certificate, require_client_auth=True
        )
        host = address.rpartition(":")[0]
        try:
            port = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            port = 0
        if port == 0:
            raise ProtocolAbort(f"cannot listen at {address}: is the port free, and the address this machine's?")
        self.address = f"{host}:{port}"
        self._server.start()

    def close(self) -> None:
        """End the service, and the connection that there is."""
        self._session.disconnect()
        self._server.stop(grace=1.0).wait()


class Dialler:
    """Carries a session to the party that listens at an address."""

    def __init__(self, session: Session, identity: Identity, address: str) -> None:
        self._grpc = _grpc()
        self._session, self._identity, self.address = session, identity, address
        self._closed = threading.Event()
        self._refusals = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        grpc, identity = self._grpc, self._identity
        credentials = grpc.ssl_channel_credentials(identity.peer_certificate, identity.key, identity.certificate)
        options = [*_OPTIONS, ("grpc.ssl_target_name_override", identity.peer_name)]
        pause = _PAUSE[0]
        while not self._closed.is_set() and self._session.failure is None:
            channel = grpc.secure_channel(self.address, credentials, options=options)
            try:
                connection = self._session.connect()
                call = channel.stream_stream(_METHOD)(connection.messages())
                for message in call:
                    pause = _PAUSE[0]
                    if not self._take(connection, message):
                        break
                call.cancel()
            except grpc.RpcError as err:
                try:
                    self._explain(err)
                except Exception as other:
                    self._session.fail(typed(other))
            except Exception as err:
                self._session.fail(typed(err))
            finally:
                channel.close()
            self._closed.wait(pause)
            pause = min(2 * pause, _PAUSE[1])

    def _take(self, connection: Connection, message: bytes) -> bool:
        """Take a message; if that ends the session, let the peer know before the connection is closed."""
        try:
            return connection.take(message)
        except Exception as err:
            self._session.fail(typed(err))
            self._session.wait_until_told(1.0)
            self._closed.wait(_FLUSH)
            return False

    def _explain(self, err: Any) -> None:
        """Raise if the peer has another certificate, which waiting does not fix; return if it is merely absent."""
        said = str(err.details())
        code = err.code()
        wrong = "CERTIFICATE_VERIFY_FAILED" in said or code == self._grpc.StatusCode.PERMISSION_DENIED
        if not wrong and code == self._grpc.StatusCode.UNAVAILABLE:
            self._refusals = self._refusals + 1 if _rejected(self._identity, self.address) else 0
            wrong = self._refusals >= _REFUSALS
        if wrong:
            self._session.fail(
                ProtocolAbort(
                    f"the certificates do not fit: {self.address} does not present the one of "
                    f"{self._identity.peer_name!r}, or rejects this party's; compare the fingerprints",
                    party=self._identity.peer_name,
                )
            )

    def close(self) -> None:
        """End the connection that there is, and attempts at another."""
        self._closed.set()
        self._session.disconnect()
        self._thread.join(5.0)


def _rejected(identity: Identity, address: str) -> bool:
    """Return whether the peer answers but rejects this party's certificate or presents an unexpected one."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cadata=identity.peer_certificate.decode())
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    try:
        with os.fdopen(os.memfd_create("identity"), "wb") as pair:  # a key must not be in a folder for anybody's files
            pair.write(identity.key + b"\n" + identity.certificate)
            pair.flush()
            context.load_cert_chain(f"/proc/self/fd/{pair.fileno()}")
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=2.0) as raw,
            context.wrap_socket(raw, server_hostname=identity.peer_name) as tls,
        ):
            tls.settimeout(1.0)
            return tls.recv(1) == b""  # a listener that accepts this party speaks first; one that rejects it closes
    except ssl.SSLError as err:
        return "CERTIFICATE" in str(err).upper() or "UNKNOWN_CA" in str(err).upper()
    except OSError:
        return False
