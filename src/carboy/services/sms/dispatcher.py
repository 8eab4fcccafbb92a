"""Dispatcher: choose a provider, record the choice, call it, record the outcome.

A message is never sent twice because a response was lost. One that is `sending` when its job runs again belongs to a
call whose end is not known: it becomes `unknown`.
"""

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.jobs import Commit, Job, Later, Waiters
from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.accounts import Traits
from carboy.services.sms.circuit_breaker import Circuits
from carboy.services.sms.message_store import Begin, Mark, Queued, Records, Work, begin, mark, release
from carboy.services.sms.providers import Message, Outcome
from carboy.services.sms.routing import WeightedRoute, draw_order, nominal_order
from carboy.services.sms.states import State
from carboy.services.sms.status_polling import LookUp
from carboy.services.sms.templates import Template
from carboy.services.sms.transport import Transport
from carboy.web import Counter

__all__ = ["Dispatcher", "Route"]

log: BoundLogger = get_logger("carboy.sms")

_LONGEST_WAIT_S = 60.0
_THROTTLED_S = 1.0
_LONGEST_THROTTLE_S = 900.0
_ACCOUNT = frozenset({"account", "unsupported"})
_FINAL: dict[str, State] = {"accepted": "sent", "refused": "failed", "braked": "failed", "unknown": "unknown"}


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

    @property
    def needs(self) -> str:
        """The content that it takes: a `text`, or a `template_id`."""
        return self.traits.needs

    @property
    def max_receivers(self) -> int:
        """How many receivers one request takes."""
        return self.traits.max_receivers

    def carries(self, template: Template) -> bool:
        """Return whether it can send a template: the template has the text or the id that it needs."""
        return bool(template.text) if self.needs == "text" else template.at(self.name, self.kind) is not None

    def sign_of(self, template: Template) -> str:
        """Return the sign that it puts before a template; empty for none."""
        carried = template.at(self.name, self.kind)
        return (carried.signature if carried else "") or self.sign if self.traits.sign_field else ""

    def message(self, template: Template, params: Mapping[str, str], some: Sequence[Queued], now_ms: int) -> Message:
        """Return the message for its provider."""
        carried = template.at(self.name, self.kind)
        names = carried.params if carried else template.params
        return Message(
            ids=tuple(str(one.id) for one in some),
            receivers=tuple(one.receiver for one in some),
            text=template.render(params),
            template_id=carried.id if carried else "",
            params=tuple((name, params[name]) for name in names if name in params),
            signature=carried.signature if carried else "",
            callback=self.callback,
            nonce=secrets.token_hex(16),
            now_ms=now_ms,
        )


@dataclass(slots=True)
class _Run:
    """One run of a job: its work, the messages left to send, and the marks to write."""

    work: Work
    template: Template
    owner: str
    left: list[Queued]
    marks: list[Mark] = field(default_factory=list)
    tried: dict[int, list[tuple[str, Outcome]]] = field(default_factory=dict)
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Sends accepted messages; safe to run again from any point.

    Attributes:
        routes: by the provider's name.
        places: the order of the providers.
        resends_unknown: whether a message that may have been sent is sent again.
        outcomes: counts outcomes, by provider and kind.
        looks_up: asks later what became of messages that are unknown.
        waiters: notified of requests whose messages are done.
    """

    routes: Mapping[str, Route]
    places: Sequence[WeightedRoute]
    templates: Mapping[str, Template]
    circuits: Circuits
    records: Records
    writer: GroupCommit
    clock: Clock
    outcomes: Counter
    looks_up: LookUp
    waiters: Waiters
    resends_unknown: bool = False

    def jobs(self) -> tuple[Job[[int, list[int]]], Job[[int, list[int]]]]:
        """Return the jobs that send: `sms.otp`, which comes first, and `sms.send`."""
        otp: Job[[int, list[int]]] = Job("sms.otp", self.send, attempts=1000, priority=1)
        bulk: Job[[int, list[int]]] = Job("sms.send", self.send, attempts=1000, priority=4)
        return otp, bulk

    def candidates(self, template: Template, pinned: str | None) -> list[str]:
        """Return the providers that may carry a template, in the order in which one message tries them."""
        return self._carrying(template, [pinned] if pinned else draw_order(self.places))

    def batch_size(self, template: Template, pinned: str | None, at_most: int) -> int:
        """Return how many receivers one job carries: as many as the first provider takes, whatever is drawn later."""
        names = self._carrying(template, [pinned] if pinned else nominal_order(self.places))
        return min([at_most, *(self.routes[name].max_receivers for name in names[:1])])

    def _carrying(self, template: Template, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self.routes and self.routes[name].carries(template)]

    def send(self, row: int, ids: list[int]) -> Commit | None:
        """Send those messages of a request that are still queued.

        Raises:
            Later: some could not be sent now.
        """
        work = self.records.work(row, ids)
        if work is None:
            return None
        template = self.templates.get(work.template) or Template(work.template, ())
        run = _Run(work, template, secrets.token_hex(8), [one for one in work.messages if one.state == "queued"])
        self._settle_orphaned(run)
        names = self.candidates(template, work.provider)
        if self.clock.now_ms() >= work.expires_at_ms:
            self._fail(run, "expired", "it could not be sent in time")
        elif not names:
            self._fail(run, "no_provider", "no provider can carry the template")
        else:
            self._try_each(run, names)
        if run.left:
            self._put_off(run, names)
        return Commit(mark, tuple(run.marks), then=lambda: self.waiters.tell(row))

    def _settle_orphaned(self, run: _Run) -> None:
        """Settle the messages whose worker was lost in the middle of a call."""
        lost = [one for one in run.work.messages if one.state == "sending"]
        if not lost:
            return
        if self.resends_unknown:
            self.writer.run(release, tuple(one.id for one in lost))
            run.left += lost
            return
        log.warning("sms_unknown", messages=len(lost), reason="the worker was lost in the middle of a call")
        outcome = Outcome("unknown", "worker_lost", "the worker was lost in the middle of a call")
        run.marks += [self._mark(run, one, "unknown", one.provider, outcome) for one in lost]

    def _try_each(self, run: _Run, names: Sequence[str]) -> None:
        for name in names:
            if not run.left:
                return
            route = self.routes[name]
            waiting, run.left = run.left, []
            while waiting:
                if not self.circuits.admit(name):
                    run.left += waiting
                    break
                some, waiting = waiting[: route.max_receivers], waiting[route.max_receivers :]
                self._call(run, route, some)

    def _call(self, run: _Run, route: Route, some: Sequence[Queued]) -> None:
        """Call a provider and mark the outcome of each message; those not sent are left for the next provider."""
        if run.marks:  # a crash in this call must not lose what is known
            self.writer.run(mark, tuple(run.marks))
            run.marks.clear()
        got = self.writer.run(begin, Begin(tuple(one.id for one in some), run.owner, route.name))
        mine = [one for one in some if one.id in got]
        if not mine:
            self.circuits.release(route.name)
            return
        message = route.message(run.template, run.work.params, mine, self.clock.now_ms())
        outcomes = route.transport.send(message, run.template.name)
        self._judge(run, route.name, outcomes)
        if route.traits.all_or_nothing and len(mine) > 1 and _is_one_receivers_fault(outcomes[0]):
            for half in (mine[: len(mine) // 2], mine[len(mine) // 2 :]):  # nothing was sent: find the receiver
                self._call(run, route, half)
            return
        for one, outcome in zip(mine, outcomes, strict=True):
            self.outcomes.inc((route.name, outcome.kind))
            state = _FINAL.get("not_sent" if outcome.kind == "unknown" and self.resends_unknown else outcome.kind)
            run.tried.setdefault(one.id, []).append((route.name, outcome))
            if state is None:
                run.left.append(one)
            else:
                run.marks.append(self._mark(run, one, state, route.name, outcome))

    def _judge(self, run: _Run, name: str, outcomes: Sequence[Outcome]) -> None:
        """Report a call to the provider's circuit; what concerns one message only never opens it."""
        kinds = {one.kind for one in outcomes if one.is_listed}
        worst = next((kind for kind in ("account", "unknown", "not_sent", "throttled") if kind in kinds), None)
        if worst is None or kinds & {"accepted"}:
            self.circuits.succeed(name)
            return
        one = next(one for one in outcomes if one.kind == worst)
        log.warning("sms_provider_failed", provider=name, kind=worst, code=one.code, words=one.words)
        if worst == "throttled":
            wait_s = min(one.retry_after_s or _THROTTLED_S, _LONGEST_THROTTLE_S)
            run.retry_after_s = max(run.retry_after_s, wait_s)
            self.circuits.fail(name, one.code or worst, wait_s)
        else:
            self.circuits.fail(name, one.code or worst)

    def _put_off(self, run: _Run, names: Sequence[str]) -> None:
        """Fail the messages that no provider's account can send; put the rest off.

        Raises:
            Later: there is a rest.
        """
        rest = []
        for one in run.left:
            tried = run.tried.get(one.id, [])
            is_refused = len(tried) >= len(names) and all(outcome.kind in _ACCOUNT for _, outcome in tried)
            if tried:
                run.marks.append(self._mark(run, one, "failed" if is_refused else "queued", *tried[-1]))
            if not is_refused:
                rest.append(one)
        if not rest:
            return
        if run.marks:
            self.writer.run(mark, tuple(run.marks))
        tries = max(one.attempts for one in rest)
        wait_s = random.uniform(0.1, min(_LONGEST_WAIT_S, 0.5 * 2.0 ** min(tries, 10)))  # noqa: S311 (spread)
        wait_s = max(wait_s, self.circuits.opens_in_s(names), run.retry_after_s)
        left_s = (run.work.expires_at_ms - self.clock.now_ms()) / 1000
        raise Later("no provider takes it now", max(0.05, min(wait_s, left_s)))

    def _fail(self, run: _Run, code: str, words: str) -> None:
        outcome = Outcome("refused", code, words)
        run.marks += [self._mark(run, one, "failed", None, outcome) for one in run.left]
        run.left = []

    def _mark(self, run: _Run, one: Queued, state: State, provider: str | None, outcome: Outcome) -> Mark:
        return Mark(
            id=one.id,
            request=run.work.row,
            owner=run.owner,
            state=state,
            at_ms=self.clock.now_ms(),
            provider=provider,
            provider_id=outcome.provider_id or None,
            code=outcome.code,
            words=outcome.words,
            look_up=self.looks_up.row(provider, one.id) if state == "unknown" else None,
        )


def _is_one_receivers_fault(outcome: Outcome) -> bool:
    """Return whether a batch was refused for one of its receivers, so that the others can still be sent."""
    return outcome.kind in {"refused", "braked"} and outcome.fault in {None, "receiver"}
