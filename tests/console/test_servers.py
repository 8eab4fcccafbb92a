"""The console on the database servers that it runs on in production."""

import pytest
from sqlalchemy import select
from tests.console.kit import MakeApp, visit
from tests.console.seeding import make_busy_app
from tests.lab.migrated import migrated_server_url

from carboy.services.sms.tables import MESSAGES
from carboy.testing.processes import DatabaseServer
from carboy.web import runtime


@pytest.mark.parametrize("name", ["mariadb_server", "postgres_server"])
def test_every_page_and_list_answers(make_app: MakeApp, request: pytest.FixtureRequest, name: str) -> None:
    """With every filter, every download, and what a person types that a server would not take."""
    server: DatabaseServer = request.getfixturevalue(name)
    url = migrated_server_url(server)
    app, paths = make_busy_app(make_app, database_url=url)
    person = visit(app)

    for path in paths.values():
        assert person.get(path).status_code == 200, path
    for query in (
        "source=crm&state=accepted&type=order.paid", "id=order-&severity=1",
        "from=2020-01-01T00:00&until=2090-01-01T00:00",
        "q=A-1", "template=captcha&state=failed&country=CN", "receiver=%2B8613800000000", "group=template&group=state",
        "who=operator&action=login", "kind=demo.report&state=dead", "id=%00", "who=%00", "q=%00", "source=%F0%9F%98%80",
    ):  # fmt: skip
        for page in ("events", "refused", "messages", "statistics", "jobs", "audit"):
            assert person.get(f"/console/{page}?{query}").status_code in {200, 422}, (page, query)
    for path in ("events/export.csv", "events/export.ndjson", "audit/export.csv", "statistics/export.csv"):
        assert person.get(f"/console/{path}").status_code == 200, path
    person.get(paths["message"])
    assert person.post(f"{paths['message']}/resend").status_code == 303
    assert person.post(f"{paths['event']}/replay").status_code == 303
    with runtime(app).engine.connect() as connection:
        assert len(connection.execute(select(MESSAGES.c.id)).all()) == 2
