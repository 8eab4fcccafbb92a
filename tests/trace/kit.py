"""Helpers shared by the tests of `trace`."""

import json
from typing import Any

from carboy.testing import UdpListener

Document = dict[str, Any]


class Daemon:
    """What the X-Ray daemon would have got."""

    def __init__(self, listener: UdpListener) -> None:
        self.listener = listener

    def documents(self, count: int) -> list[Document]:
        """Return the documents, in the order in which their spans ended, once that many have come; and no more do."""
        self.listener.wait_for(count)
        datagrams = self.listener.drain(quiet_s=0.02)
        assert len(datagrams) == count
        return [read(datagram) for datagram in datagrams]

    def by_name(self, count: int) -> dict[str, Document]:
        """Return them by their spans' names."""
        return {document["name"]: document for document in self.documents(count)}


def read(datagram: bytes) -> Document:
    """Return a datagram's document, as the daemon reads it."""
    header, _, document = datagram.partition(b"\n")
    assert json.loads(header) == {"format": "json", "version": 1}
    assert len(datagram) <= 65_507
    read: Document = json.loads(document)
    return read
