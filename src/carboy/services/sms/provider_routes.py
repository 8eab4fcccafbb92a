"""Provider routes: what each configured provider can carry, and the message that it is given."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from carboy.services.sms.accounts import Traits
from carboy.services.sms.message_queries import Queued
from carboy.services.sms.providers import Message
from carboy.services.sms.routing import CountryRoute
from carboy.services.sms.templates import Template
from carboy.services.sms.transport import Transport

ANY_COUNTRY = CountryRoute()


@dataclass(frozen=True, slots=True)
class Route:
    """A configured provider.

    Attributes:
        name: in the settings.
        kind: a built-in one's name, under which templates may have their id too.
        transport: sends messages.
        traits: what the provider's class declares.
        callback: the address for its receipts; empty for none.
        sign: the account's sign, which stands before each message; empty for none.
    """

    name: str
    kind: str
    transport: Transport
    traits: Traits = field(default_factory=Traits)
    callback: str = ""
    sign: str = ""

    def carries(self, template: Template, country: str | None = None) -> bool:
        """Return whether it can send a template: the template has the text or the id that it needs.

        Args:
            template: what is sent.
            country: of the receivers; None for any.
        """
        if self.traits.needs == "text":
            return bool(template.text)
        carried = template.at(self.name, self.kind)
        return carried is not None and (country is None or bool(carried.id_for(country)))

    def sign_of(self, template: Template, country: CountryRoute = ANY_COUNTRY) -> str:
        """Return the sign that it puts before a template; empty for none."""
        if not self.traits.sign_field:
            return ""
        carried = template.at(self.name, self.kind)
        return (carried.signature if carried else "") or country.sign_name or self.sign

    def message(
        self,
        template: Template,
        params: Mapping[str, str],
        some: Sequence[Queued],
        now_ms: int,
        country: CountryRoute = ANY_COUNTRY,
    ) -> Message:
        """Return the message for its provider.

        Args:
            template: what is sent.
            params: of the template.
            some: messages with these parameters, all to one country.
            now_ms: the time.
            country: how messages to that country are sent.
        """
        carried = template.at(self.name, self.kind)
        names = carried.params if carried else template.params
        return Message(
            ids=tuple(str(one.id) for one in some),
            receivers=tuple(one.receiver for one in some),
            text=template.render(params),
            template_id=carried.id_for(some[0].country) if carried else "",
            params=tuple((name, params[name]) for name in names if name in params),
            signature=(carried.signature if carried else "") or country.sign_name,
            callback=self.callback,
            nonce=secrets.token_hex(16),
            now_ms=now_ms,
            kind=template.kind,
            sender=country.sender,
            dlt_entity_id=country.dlt_entity_id,
            dlt_template_id=template.dlt_template_id if country.dlt_entity_id else "",
        )
