"""TLS of the servers, and the certificates that they follow."""

import asyncio
import logging
import ssl
from contextlib import asynccontextmanager

import grpc
import pytest

from cxr.errors import ServingError
from cxr.serving.security.tls import development_certificate, grpc_credentials, server_context


@pytest.fixture
def folder(tmp_path):
    development_certificate(tmp_path / "tls")
    return tmp_path / "tls"


@pytest.fixture
def other(tmp_path):
    development_certificate(tmp_path / "other")
    return tmp_path / "other"


def _client(folder):
    client = ssl.create_default_context(cafile=folder / "ca.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    return client


def _shaken(server, client, host="localhost"):
    """The version that a client and a server agree on."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(down, up, server_hostname=host),
        server.wrap_bio(up, down, server_side=True),
    )
    done = set()
    while len(done) < len(ends):
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
    return ends[0].version(), ends[0].selected_alpn_protocol()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_openssl_accepts_the_certificate_strictly(folder, host):
    client = _client(folder)
    client.set_alpn_protocols(["h2", "http/1.1"])
    server = server_context(folder / "server.pem", folder / "server.key")
    assert _shaken(server, client, host) == ("TLSv1.3", "http/1.1")


def test_old_versions_are_not_spoken(folder):
    client = _client(folder)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    server = server_context(folder / "server.pem", folder / "server.key")
    assert _shaken(server, client)[0] == "TLSv1.2"
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_server_follows_a_renewed_pair_and_keeps_the_old_one_meanwhile(folder, other, caplog):
    caplog.set_level(logging.ERROR, "cxr")
    old, new = _client(folder), _client(other)
    server = server_context(folder / "server.pem", folder / "server.key")
    assert _shaken(server, old)
    (other / "server.pem").replace(folder / "server.pem")
    assert _shaken(server, old)
    assert _shaken(server, old)
    (other / "server.key").replace(folder / "server.key")
    assert _shaken(server, new)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shaken(server, old)
    assert [record.message for record in caplog.records] == ["the certificate read before stays in use"]


def test_a_server_keeps_the_pair_whose_files_are_gone(folder):
    client, server = _client(folder), server_context(folder / "server.pem", folder / "server.key")
    (folder / "server.pem").unlink()
    assert _shaken(server, client)


@pytest.mark.parametrize("make", [server_context, grpc_credentials])
def test_a_pair_that_does_not_fit_is_refused(folder, other, make):
    with pytest.raises(ServingError, match="must be the private key of"):
        make(folder / "server.pem", other / "server.key")


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details):
        async def echo(request, _context):
            return request

        return grpc.unary_unary_rpc_method_handler(echo)


@asynccontextmanager
async def _served(folder):
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Echo(),))
    port = server.add_secure_port("127.0.0.1:0", grpc_credentials(folder / "server.pem", folder / "server.key"))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def _asked(address, authority):
    async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority)) as channel:
        return await channel.unary_unary("/any/Echo")(b"hello", timeout=3)


async def _refused(address, authority):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _asked(address, authority)
    return raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_grpc_speaks_tls_only_to_those_who_trust_the_authority(folder, other):

    async def talk():
        async with _served(folder) as address:
            assert await _asked(address, (folder / "ca.pem").read_bytes()) == b"hello"
            assert await _refused(address, (other / "ca.pem").read_bytes())
            async with grpc.aio.insecure_channel(address) as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await channel.unary_unary("/any/Echo")(b"hello", timeout=3)

    asyncio.run(talk())


def test_grpc_follows_a_renewed_pair_and_keeps_the_old_one_meanwhile(folder, other, caplog):
    caplog.set_level(logging.ERROR, "cxr")
    old, new = ((base / "ca.pem").read_bytes() for base in (folder, other))

    async def talk():
        async with _served(folder) as address:
            assert await _asked(address, old) == b"hello"
            (other / "server.pem").replace(folder / "server.pem")
            assert await _asked(address, old) == b"hello"
            assert await _asked(address, old) == b"hello"
            (other / "server.key").replace(folder / "server.key")
            assert await _asked(address, new) == b"hello"
            assert await _refused(address, old)

    asyncio.run(talk())
    assert [record.message for record in caplog.records] == ["the certificate read before stays in use"]
