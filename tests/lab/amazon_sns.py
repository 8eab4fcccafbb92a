"""Amazon SNS as a sender: messages signed by a certificate that only a stand-in of its host has."""

import base64
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from carboy.testing.certificate_authority import make_ca
from carboy.testing.processes import AwsServer
from carboy.webhooks.sns import string_to_sign

HOST = "sns.us-east-1.amazonaws.com"
TOPIC = "arn:aws:sns:us-east-1:123456789012:alerts"
BODY = '{"alerts": [{"id": "a", "created_at": "1484661060000"}]}'
OWN = "/SimpleNotificationService-own.pem"
REGIONS = ("us-east-1", "eu-west-1", "eu-west-2")


def host_of(topic: str) -> str:
    return f"sns.{topic.split(':')[3]}.amazonaws.com"


class Amazon:
    """Stands for `https://sns.us-east-1.amazonaws.com` behind a proxy on loopback, with a certificate to sign with."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.asked: list[str] = []
        self.moto: AwsServer | None = None

    def certificate(self) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
        return (
            x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
            .sign(self.key, SHA256())
            .public_bytes(Encoding.PEM)
        )

    def answer(self, path: str) -> bytes:
        self.asked.append(path)
        if self.moto is None or path == OWN:
            return self.certificate()
        connection = HTTPConnection("127.0.0.1", self.moto.port, timeout=5)
        scope = "AWS4-HMAC-SHA256 Credential=x/20231114/us-east-1/sns/aws4_request, SignedHeaders=x, Signature=x"
        connection.request("GET", path, headers={"Authorization": scope})  # how moto knows the service
        body = connection.getresponse().read()
        connection.close()
        return body

    def message(self, kind: str = "Notification", version: str = "2", **changes: Any) -> bytes:
        """Return a message as SNS sends it, signed."""
        fields = {
            "Type": kind,
            "MessageId": "m-1",
            "TopicArn": TOPIC,
            "Message": BODY,
            "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": version,
            "SigningCertURL": f"https://{host_of(changes.get('TopicArn', TOPIC))}{OWN}",
        }
        if kind != "Notification":
            fields |= {
                "Token": "t" * 64,
                "SubscribeURL": f"https://{host_of(changes.get('TopicArn', TOPIC))}/?Action=ConfirmSubscription",
            }
        fields |= {name: value for name, value in changes.items() if name != "Signature"}
        signature = self.key.sign(string_to_sign(fields), PKCS1v15(), SHA256() if version == "2" else SHA1())  # noqa: S303
        return json.dumps({"Signature": base64.b64encode(signature).decode(), **fields, **changes}).encode()


@contextmanager
def amazon_sns(folder: Path) -> Iterator[tuple[Amazon, dict[str, str]]]:
    """Serve as Amazon's hosts behind a proxy; with the environment that leads there."""
    stand_in = Amazon()
    issued = make_ca(folder).issue(*(f"sns.{region}.amazonaws.com" for region in REGIONS))
    context = issued.server_context()

    class Proxy(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            assert self.rfile.readline().split(b" ")[1].decode() in {
                f"sns.{region}.amazonaws.com:443" for region in REGIONS
            }
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with context.wrap_socket(self.request, server_side=True) as secure:
                path = secure.recv(65536).split(b" ")[1].decode()
                body = stand_in.answer(path)
                secure.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        environ = {
            "HTTPS_PROXY": f"http://127.0.0.1:{server.server_address[1]}",
            "REQUESTS_CA_BUNDLE": str(issued.ca_path),
        }
        yield stand_in, environ
        server.shutdown()
