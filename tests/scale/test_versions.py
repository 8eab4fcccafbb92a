"""Two contents of one id that arrive in two processes at the same moment: both are kept, and one is the newest."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select
from tests.scale.kit import Base

from carboy.services.archive.index import Index, accept
from carboy.services.archive.items import Accepted, NewItem, Submission, TimeRange
from carboy.services.archive.tables import ITEMS

IDS = [f"id-{number}" for number in range(12)]


def _item(item_id: str, content: bytes) -> NewItem:
    digest = hashlib.sha256(content).digest()
    return NewItem(
        "threatstack", item_id, digest, digest, 1_700_000_000_000, f"webhooks/{item_id}", "text/plain", content
    )


def test_one_of_two_contents_is_the_newest(base: Base) -> None:
    """Whichever came last; three processes, each with the ids in an order of its own."""
    barrier = threading.Barrier(3)

    def send(number: int) -> list[Accepted]:
        writer = base.writer()
        answers = []
        for at, item_id in enumerate(IDS):
            barrier.wait(60)
            items = [_item(item_id, f"{item_id} {number}".encode()), _item(f"pair-{at}", b"the same for all")]
            answers.append(writer.run(accept, Submission(items[:: 1 if number else -1], None, 1_700_000_000_000, "")))
        return answers

    with ThreadPoolExecutor(3) as pool:
        sent = [one for answers in pool.map(send, range(3)) for one in answers]

    index = Index(base.engine())
    with base.engine().connect() as connection:
        rows = connection.execute(
            select(ITEMS.c.item_id, func.count(), func.max(ITEMS.c.version)).group_by(ITEMS.c.item_id)
        ).all()
        newest = connection.execute(select(ITEMS.c.item_id).where(ITEMS.c.newest.is_(True))).scalars().all()
    assert {tuple(row) for row in rows} == {(name, 3, 2) for name in IDS} | {(f"pair-{at}", 1, 0) for at in range(12)}
    assert sorted(newest) == sorted([*IDS, *(f"pair-{at}" for at in range(12))])
    assert sum(sum(one.is_new) for one in sent) == 3 * 12 + 12
    assert len(index.between(TimeRange("threatstack", 0, 1 << 62), limit=100).items) == 24
