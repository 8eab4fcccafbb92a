"""Signatures that Amazon and Tencent Cloud make alike: of the canonical request, by a key derived for its scope.

Sources: docs.aws.amazon.com, "Create a signed AWS API request"; cloud.tencent.com/document, "Signature v3".
"""

import hashlib
import hmac
from collections.abc import Mapping


def sign_post(
    scheme: str, time: str, scope: str, path: str, headers: Mapping[str, str], body: bytes, key: tuple[str, str]
) -> str:
    """Return the header `Authorization` of a POST without a query; all headers are signed.

    Args:
        scheme: `AWS4` or `TC3`.
        time: as the service writes it.
        scope: such as `20260131/us-east-1/sns/aws4_request`.
        path: of the URL.
        headers: in lower case.
        body: of the request.
        key: its id and the secret.
    """
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = f"POST\n{path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    to_sign = f"{scheme}-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signing = f"{scheme}{key[1]}".encode()
    for part in (*scope.split("/"), to_sign):
        signing = hmac.digest(signing, part.encode(), "sha256")
    return f"{scheme}-HMAC-SHA256 Credential={key[0]}/{scope}, SignedHeaders={names}, Signature={signing.hex()}"
