"""Carries sessions over gRPC with mutual TLS: one party listens, the other connects; each accepts one certificate only.

There is one method, a stream of frames each way. gRPC holds a sender back while the receiver does not keep up. What it
reads ahead is bounded for each connection, and a listener accepts few connections. A broken connection is restored
until the session's patience ends.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...errors import InvalidKey, ProtocolAbort
from ...evidence.identity import fingerprint_groups
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
    ("grpc.min_reconnect_backoff_ms", 5_000),  # the time for an attempt to connect, 20 s by default
]
CONNECTIONS = 8
"""Largest number of connections of a listener, of which a session uses the latest: gRPC keeps up to 4 MiB of each.

Closed ones do not count; one whose other end is gone without a word is found out by keepalive, in half a minute.
"""
_HANDSHAKE = 10_000  # milliseconds; strangers who connect and say nothing count as connections until then
_REFUSALS = 3  # refusals in a row before a closed port no longer counts as a listener that is just ending
_STRANGERS = 60.0  # seconds between two lines in the log about connections that were refused
_PROOF = 2.0  # seconds that a connection has to prove to be the peer's before the listener speaks of it
_log = logging.getLogger(__name__)
_FLUSH = 0.2  # seconds that gRPC has for a last message before its channel is closed
_TRY = 2.0  # seconds that an address has to answer when the reason of a failure is looked for
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
        self._told_of_stranger = -_STRANGERS
        self._unproven: float | None = None  # when a connection came that has not proved to be the peer's
        self._mine, self._theirs = (
            fingerprint_groups(each) for each in (identity.certificate, identity.peer_certificate)
        )
        pinned = only_certificate(identity.peer_certificate)

        def converse(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            (pem,) = context.auth_context().get("x509_pem_cert", [b""])
            if only_certificate(pem) != pinned:
                self._refused("presented another certificate than the peer's")
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "the peer presented another certificate than expected")
            self._unproven, hello = None, None
            with contextlib.suppress(Exception):  # of gRPC's own kind, when the other end is gone
                hello = next(requests, None)
            if hello is None:
                return
            if why := session.intrudes(hello):
                self._refused(f"has the peer's certificate, but is of {why}")
                yield session.hello()  # it says why to the other end, which ends
                return
            connection = session.connect()
            told = itertools.chain([hello], requests)
            threading.Thread(target=drain, args=(told, connection, session), daemon=True).start()
            yield from connection.messages()

        def arrived() -> None:  # gRPC calls it before each TLS handshake, and takes None for: the same certificates
            if self._unproven is None:
                self._unproven = time.monotonic()

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
        pair = grpc.ssl_server_certificate_configuration(
            [(identity.key, identity.certificate)], identity.peer_certificate
        )
        credentials = grpc.dynamic_ssl_server_credentials(pair, arrived, require_client_authentication=True)
        host = address.rpartition(":")[0]
        try:
            port = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            port = 0
        if port == 0:
            raise ProtocolAbort(
                f"cannot listen at {address}: is the port free, and the address this machine's?", kind="busy"
            )
        self.address = f"{host}:{port}"
        session.where = f"the {session.peer} to connect to {self.address}"
        session.obstacle = self._obstacle
        self._server.start()

    def _refused(self, why: str) -> None:
        """Log that a connection was refused, at most once a minute."""
        now = time.monotonic()
        if now - self._told_of_stranger >= _STRANGERS:
            self._told_of_stranger = now
            _log.warning("refused a connection that %s; this run goes on", why)

    def _obstacle(self) -> str:
        """Return why there is no connection, as far as the side that is connected to can know it."""
        came = self._unproven
        if came is not None and time.monotonic() - came >= _PROOF:
            return (
                "somebody has, but not with a certificate that fits: the peer presents another one than that of "
                f"fingerprint {self._theirs}, or does not accept this party's, of fingerprint {self._mine}; or it was "
                "a stranger (a health check, a port scan)"
            )
        if self._session.met:
            return "its connection is lost, and it has not come back"
        return (
            f"nobody has with the certificate of fingerprint {self._theirs} (the peer must set connect, not listen, "
            "and present it)"
        )

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
        session.where = f"the {session.peer} at {address}"
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
        """Note why there is no connection; end the session if waiting does not help."""
        code, said = err.code(), str(err.details())
        if code not in (self._grpc.StatusCode.UNAVAILABLE, self._grpc.StatusCode.PERMISSION_DENIED):
            self._session.obstacle = lambda: f"the connection ended ({code.name.lower()})"
            return
        why, kind = obstacle(self._identity, self.address)
        if kind is None and (code == self._grpc.StatusCode.PERMISSION_DENIED or "CERTIFICATE_VERIFY_FAILED" in said):
            why, kind = f"{self.address} and this party do not accept each other's certificate", "certificate"
        self._session.obstacle = lambda: why
        # a listener that is just ending also closes connections; and a name server's fault ends no run that has begun
        self._refusals = self._refusals + 1 if kind is not None else 0
        if kind is not None and self._refusals >= _REFUSALS and (kind == "certificate" or not self._session.met):
            self._session.fail(ProtocolAbort(why, party=self._session.peer, kind=kind))

    def close(self) -> None:
        """End the connection that there is, and attempts at another."""
        self._closed.set()
        self._session.disconnect()
        self._thread.join(5.0)


def obstacle(identity: Identity, address: str) -> tuple[str, str | None]:
    """Return why there is no connection to an address, and the kind of end if waiting does not change that."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        context = _context(identity)
        with (
            socket.create_connection((host, int(port)), timeout=_TRY) as raw,
            context.wrap_socket(raw, server_hostname=identity.peer_name) as tls,
        ):
            tls.settimeout(1.0)
            if tls.recv(1) != b"":  # a listener that accepts this party speaks first; one that rejects it closes
                return f"{address} accepts this party, but has ended the connection", None
            return _rejected(identity, address), "certificate"
    except socket.gaierror as err:
        fixed = err.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
        return (
            f"unknown host {host!r} ({err.strerror}): correct the name in connect = {address!r}, or the name server",
            "absent" if fixed else None,
        )
    except ssl.SSLCertVerificationError:
        return _unexpected(identity, address, host, int(port)), "certificate"
    except ssl.SSLError as err:
        said = str(err).upper()
        if "CERTIFICATE" in said or "UNKNOWN_CA" in said:
            return _rejected(identity, address), "certificate"
        if "WRONG_VERSION" in said or "RECORD_LAYER" in said or "HTTP_REQUEST" in said or "PACKET_LENGTH" in said:
            return (
                f"no TLS at {address}: another program answers there (an HTTP server?); correct connect, or start the "
                "peer at that port",
                "certificate",
            )
        return f"{address} ends the TLS handshake ({type(err).__name__})", None
    except TimeoutError:
        return f"{address} does not answer within {_TRY:g} s (a firewall, or a program that does not speak TLS?)", None
    except OSError as err:
        if err.errno == errno.ECONNREFUSED:
            return "nobody answers (connection refused)", None
        return f"nobody answers ({err.strerror or type(err).__name__})", None


def _context(identity: Identity) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=identity.peer_certificate.decode())
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    with os.fdopen(os.memfd_create("identity"), "wb") as pair:  # a key must not be in a folder for anybody's files
        pair.write(identity.key + b"\n" + identity.certificate)
        pair.flush()
        context.load_cert_chain(f"/proc/self/fd/{pair.fileno()}")
    return context


def _rejected(identity: Identity, address: str) -> str:
    return (
        f"the certificates do not fit: {address} rejects this party's, of fingerprint "
        f"{fingerprint_groups(identity.certificate)}: the peer's peer_certificate must be that file"
    )


def _unexpected(identity: Identity, address: str, host: str, port: int) -> str:
    """Say which certificate the other end presents; it is public, and nothing else is read from that connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    found = "another one"
    try:
        with (
            socket.create_connection((host, port), timeout=_TRY) as raw,
            context.wrap_socket(raw, server_hostname=identity.peer_name) as tls,
        ):
            found = f"one of fingerprint {fingerprint_groups(tls.getpeercert(binary_form=True) or b'')}"
    except (OSError, InvalidKey):
        pass  # the rest of the message stands without it
    return (
        f"the certificates do not fit: {address} presents {found}, where peer_certificate has "
        f"{fingerprint_groups(identity.peer_certificate)}: compare them by telephone, and correct peer_certificate or "
        "connect"
    )
