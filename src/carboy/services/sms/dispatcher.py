"""Dispatcher: choose a provider, record the choice, call it, record the outcome.

A message is never sent twice because a response was lost. One that is `sending` when its job runs again belongs to a
call whose end is not known: it becomes `unknown`.
"""

import secrets
from collections import Counter as Counted
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from carboy.clock import Clock
from carboy.db import GroupCommit
from carboy.jitter import SYSTEM_RANDOM
from carboy.jobs import Commit, Job, Later, Waiters
from carboy.logs import BoundLogger, get_logger
from carboy.services.sms.circuit_breaker import Circuits
from carboy.services.sms.message_queries import Queued, Records, Work
from carboy.services.sms.message_store import Attempt, Begin, Mark, begin, mark, release
from carboy.services.sms.numbers import Number
from carboy.services.sms.opt_outs import OPTED_OUT_CODES
from carboy.services.sms.provider_routes import ANY_COUNTRY, Route
from carboy.services.sms.provider_traffic import ProviderTraffic
from carboy.services.sms.providers import Outcome
from carboy.services.sms.quiet_hours import QuietHours, ends_at_ms, zones_of
from carboy.services.sms.routing import CountryRoute, WeightedRoute, draw_order, nominal_order
from carboy.services.sms.send_jobs import BULK_JOB, OTP_JOB, Resend
from carboy.services.sms.states import WAITING, State
from carboy.services.sms.status_polling import LookUp
from carboy.services.sms.templates import Template
from carboy.web import Counter

log: BoundLogger = get_logger("carboy.sms")

_LONGEST_WAIT_S = 60.0
_OUT_S = 5.0  # how soon a provider that is put back gets what waits for it
_REMEMBERED = 10_000
_THROTTLED_S = 1.0
_LONGEST_THROTTLE_S = 900.0
_ACCOUNT = frozenset({"account", "unsupported"})
_FINAL: dict[str, State] = {"accepted": "sent", "refused": "failed", "braked": "failed", "unknown": "unknown"}

_TEST_NUMBER = Outcome("accepted", "test_number", "a number of SMS_TEST_NUMBERS: nothing was sent")
_TOO_LATE = Outcome("refused", "expired", "it could not be sent in time")
_NO_PROVIDER = Outcome("refused", "no_provider", "no provider can carry the template")
_WORKER_LOST = Outcome("unknown", "worker_lost", "the worker was lost in the middle of a call")


@dataclass(slots=True)
class _Run:
    """One run of a job: its work, the messages left to send, and the marks to write."""

    work: Work
    template: Template
    owner: str
    left: list[Queued]
    marks: list[Mark] = field(default_factory=list)
    tried: dict[int, list[tuple[str, Outcome]]] = field(default_factory=dict)
    failed_calls: dict[int, list[Attempt]] = field(default_factory=dict)
    retry_after_s: float = 0.0
    wake_at_ms: int | None = None

    def wake_by(self, at_ms: int) -> None:
        """Have the job run again at that time, at the latest."""
        self.wake_at_ms = at_ms if self.wake_at_ms is None else min(self.wake_at_ms, at_ms)

    def params_of(self, one: Queued) -> Mapping[str, str]:
        """Return a message's own parameters, or those of the request."""
        own: dict[str, str] | None = orjson.loads(one.params) if one.params else None
        return self.work.params if own is None else own


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Sends accepted messages; safe to run again from any point.

    Attributes:
        routes: by the provider's name.
        places: the order of the providers.
        traffic: their shares, and those that were taken out.
        resends_unknown: whether a message that may have been sent is sent again.
        outcomes: counts outcomes, by provider and kind.
        resends: how messages are sent again after a temporary failure, by template.
        looks_up: asks later what became of messages that are unknown.
        waiters: notified of requests whose messages are done.
        country_routes: how messages to a country are sent, by its ISO 3166 code.
        quiet_hours: by the kind of template.
        test_numbers: E.164; messages to them are never sent, and end `delivered`.
        unsupported: the last answers `unsupported`, by message and provider.
    """

    routes: Mapping[str, Route]
    places: Sequence[WeightedRoute]
    templates: Mapping[str, Template]
    circuits: Circuits
    traffic: ProviderTraffic
    records: Records
    writer: GroupCommit
    clock: Clock
    outcomes: Counter
    resends: Mapping[str, Resend]
    looks_up: LookUp
    waiters: Waiters
    resends_unknown: bool = False
    country_routes: Mapping[str, CountryRoute] = field(default_factory=dict)
    quiet_hours: Mapping[str, QuietHours] = field(default_factory=dict)
    test_numbers: Collection[str] = ()
    unsupported: dict[tuple[int, str], Outcome] = field(default_factory=dict)

    def jobs(self) -> tuple[Job[[int, list[int]]], Job[[int, list[int]]]]:
        """Return the jobs that send: `sms.otp`, which comes first, and `sms.send`."""
        return replace(OTP_JOB, function=self.send), replace(BULK_JOB, function=self.send)

    def candidates(self, template: Template, pinned: str | None, country: str | None = None) -> list[str]:
        """Return the providers that may carry a template, in the order in which one message tries them.

        Args:
            template: what is sent.
            pinned: the only provider that may carry it.
            country: of the receivers; None for any.
        """
        places = self._places_for(country)
        return self._carrying(template, [pinned] if pinned else draw_order(places, self.traffic.factors()), country)

    def can_carry(self, template: Template, pinned: str | None, country: str) -> bool:
        """Return whether some provider can carry a template to a country."""
        return bool(self._without_chance(template, pinned, country))

    def batch_size(self, template: Template, pinned: str | None, at_most: int, country: str | None = None) -> int:
        """Return how many receivers one job carries: as many as the first provider takes, whatever is drawn later."""
        names = self._without_chance(template, pinned, country)
        return min([at_most, *(self.routes[name].traits.max_receivers for name in names[:1])])

    def _without_chance(self, template: Template, pinned: str | None, country: str | None) -> list[str]:
        names = [pinned] if pinned else nominal_order(self._places_for(country))
        return self._carrying(template, names, country)

    def _places_for(self, country: str | None) -> Sequence[WeightedRoute]:
        return self.country_routes.get(country or "", ANY_COUNTRY).places or self.places

    def _carrying(self, template: Template, names: Sequence[str], country: str | None) -> list[str]:
        return [name for name in names if name in self.routes and self.routes[name].carries(template, country)]

    def send(self, row: int, ids: list[int]) -> Commit | None:
        """Send those messages of a request that wait and are due.

        Raises:
            Later: some could not be sent now, or are not due.
        """
        work = self.records.work(row, ids)
        if work is None:
            return None
        template = self.templates.get(work.template) or Template(work.template, ())
        run = _Run(work, template, secrets.token_hex(8), [one for one in work.messages if one.state in WAITING])
        self._settle_orphaned(run)
        now_ms = self.clock.now_ms()
        tests = [one for one in run.left if one.receiver in self.test_numbers and work.is_due(one, now_ms)]
        self._end(run, tests, "delivered", _TEST_NUMBER)
        self._end(run, [one for one in run.left if work.ends_at_ms(one) <= now_ms], "expired", _TOO_LATE)
        self._hold(run)
        waiting, run.left = run.left, []
        unsent: list[Queued] = []
        names: list[str] = []
        for group in self._groups(template, waiting):
            run.left = group
            named = self._names_for(run, group[0])
            names += named
            if not named:
                self._end(run, group, "failed", _NO_PROVIDER)
            self._try_each(run, named)
            unsent += self._give_up(run, len(named))
        run.left = unsent
        if unsent or run.wake_at_ms is not None:
            self._put_off(run, list(dict.fromkeys(names)))
        return Commit(mark, tuple(run.marks), then=lambda: self.waiters.notify(row))

    def _groups(self, template: Template, waiting: Sequence[Queued]) -> list[list[Queued]]:
        """Return the messages by what one request to a provider may carry: one country, equal parameters."""
        groups: dict[tuple[str, bytes | None, str | None, int], list[Queued]] = {}
        again: Counted[tuple[str, bytes | None]] = Counted()  # a provider sends once to a number that stands twice
        regional = {region for one in (template.carried or {}).values() for region in one.regions}
        for one in waiting:
            is_apart = one.country in self.country_routes or one.country in regional
            place = one.country if is_apart else "+86" if one.receiver.startswith("+86") else ""
            again[one.receiver, one.params] += 1
            tried = one.provider if one.retries else None
            groups.setdefault((place, one.params, tried, again[one.receiver, one.params]), []).append(one)
        return list(groups.values())

    def _names_for(self, run: _Run, one: Queued) -> list[str]:
        """Return the providers for a message; one that could not deliver it before comes last."""
        names = self.candidates(run.template, run.work.provider, one.country or None)
        return sorted(names, key=lambda name: name == one.provider) if one.retries else names

    def _end(self, run: _Run, some: Sequence[Queued], state: State, outcome: Outcome) -> None:
        """End messages without a call."""
        run.marks += [self._mark(run, one, state, None, outcome) for one in some]
        ended = {one.id for one in some}
        run.left = [one for one in run.left if one.id not in ended]

    def _hold(self, run: _Run) -> None:
        """Keep back the messages that are not due, and those whose receivers have quiet hours."""
        now_ms, quiet = self.clock.now_ms(), self.quiet_hours.get(run.template.kind)
        due: list[Queued] = []
        for one in run.left:
            if not run.work.is_due(one, now_ms):
                run.wake_by(min(one.due_at_ms or run.work.send_at_ms or 0, run.work.ends_at_ms(one)))
                continue
            release_ms = now_ms if quiet is None else ends_at_ms(quiet, zones_of(one.receiver), now_ms)
            if release_ms <= now_ms:
                due.append(one)
                continue
            held = replace(one, due_at_ms=release_ms)
            run.wake_by(min(release_ms, run.work.ends_at_ms(held)))
            run.marks.append(replace(self._mark(run, one, "held", None, Outcome("not_sent")), due_at_ms=release_ms))
        run.left = due

    def _settle_orphaned(self, run: _Run) -> None:
        """Settle the messages whose worker was lost in the middle of a call."""
        lost = [one for one in run.work.messages if one.state == "sending"]
        if not lost:
            return
        if self.resends_unknown:
            self.writer.run(release, tuple(one.id for one in lost))
            run.left += lost
            return
        log.warning("sms_unknown", messages=len(lost), reason=_WORKER_LOST.words)
        run.marks += [self._mark(run, one, "unknown", one.provider, _WORKER_LOST) for one in lost]

    def _try_each(self, run: _Run, names: Sequence[str]) -> None:
        for name in names:
            if not run.left:
                return
            route = self.routes[name]
            waiting, run.left = self._apart_unsupported(run, name)
            while waiting:
                if self.traffic.is_out(name) or not self.circuits.admit(name):
                    run.left += waiting
                    break
                some, waiting = waiting[: route.traits.max_receivers], waiting[route.traits.max_receivers :]
                self._call(run, route, some)

    def _apart_unsupported(self, run: _Run, name: str) -> tuple[list[Queued], list[Queued]]:
        """Return the messages that a provider may carry, and those of which it has said that it cannot."""
        rest: list[Queued] = []
        for one in run.left:
            if (outcome := self.unsupported.get((one.id, name))) is not None:
                run.tried.setdefault(one.id, []).append((name, outcome))
                rest.append(one)
        return [one for one in run.left if one not in rest], rest

    def _call(self, run: _Run, route: Route, some: Sequence[Queued]) -> None:
        """Call a provider and mark the outcome of each message; those not sent are left for the next provider."""
        if run.marks:  # a crash in this call must not lose what is known
            self.writer.run(mark, tuple(run.marks))
            run.marks.clear()
        now_ms = self.clock.now_ms()
        listed = {one.id: one.receiver for one in some} if run.template.kind == "marketing" else {}
        ids, keeps = tuple(one.id for one in some), run.template.retry_undelivered > 0
        got = self.writer.run(begin, Begin(ids, run.owner, route.name, listed, now_ms, keeps))
        mine = [one for one in some if one.id in got]
        if not mine:
            self.circuits.release(route.name)
            return
        country = self.country_routes.get(mine[0].country, ANY_COUNTRY)
        message = route.message(run.template, run.params_of(mine[0]), mine, now_ms, country)
        outcomes = route.transport.send(message, run.template.name)
        self._judge(run, route.name, outcomes)
        if route.traits.all_or_nothing and len(mine) > 1 and _is_one_receivers_fault(outcomes[0]):
            for half in (mine[: len(mine) // 2], mine[len(mine) // 2 :]):  # nothing was sent: find the receiver
                self._call(run, route, half)
            return
        for one, outcome in zip(mine, outcomes, strict=True):
            self.outcomes.inc((route.name, outcome.kind))
            self.traffic.note(route.name, outcome)
            if outcome.kind == "unsupported":
                self.unsupported[one.id, route.name] = outcome
                while len(self.unsupported) > _REMEMBERED:
                    self.unsupported.pop(next(iter(self.unsupported)), None)
            state = _FINAL.get("not_sent" if outcome.kind == "unknown" and self.resends_unknown else outcome.kind)
            if outcome.code in OPTED_OUT_CODES and run.template.kind == "marketing":
                state = "opted_out"
            run.tried.setdefault(one.id, []).append((route.name, outcome))
            if outcome.kind != "accepted":
                run.failed_calls.setdefault(one.id, []).append(Attempt(route.name, outcome, now_ms))
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

    def _give_up(self, run: _Run, providers: int) -> list[Queued]:
        """Fail the messages that no provider's account can send; return the rest."""
        rest = []
        for one in run.left:
            tried = run.tried.get(one.id, [])
            is_refused = len(tried) >= providers and all(outcome.kind in _ACCOUNT for _, outcome in tried)
            if tried:
                run.marks.append(self._mark(run, one, "failed" if is_refused else "queued", *tried[-1]))
            if not is_refused:
                rest.append(one)
        run.left = []
        return rest

    def _put_off(self, run: _Run, names: Sequence[str]) -> None:
        """Write what is known, and have the job run again.

        Raises:
            Later: always.
        """
        if run.marks:
            self.writer.run(mark, tuple(run.marks))
        now_ms = self.clock.now_ms()
        waits = [] if run.wake_at_ms is None else [(run.wake_at_ms - now_ms) / 1000]
        if run.left:
            tries = max(one.attempts for one in run.left)
            wait_s = SYSTEM_RANDOM.uniform(0.1, min(_LONGEST_WAIT_S, 0.5 * 2.0 ** min(tries, 10)))
            in_turn = [name for name in names if not self.traffic.is_out(name)]
            opens_in_s = self.circuits.opens_in_s(in_turn) if in_turn else _OUT_S
            wait_s = max(wait_s, opens_in_s, run.retry_after_s)
            ends_ms = min(run.work.ends_at_ms(one) for one in run.left)
            waits.append(min(wait_s, (ends_ms - now_ms) / 1000))
        raise Later("no provider takes it now" if run.left else "it is not due", max(0.05, min(waits)))

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
            look_up=self.looks_up.row(provider, one.id, one.retries) if state == "unknown" else None,
            resends=self.resends if run.template.retry_undelivered else {},
            opt_out=Number(one.receiver, one.shown, one.country) if outcome.code in OPTED_OUT_CODES else None,
            tried=run.failed_calls.pop(one.id, ()),
        )


def _is_one_receivers_fault(outcome: Outcome) -> bool:
    """Return whether a batch was refused for one of its receivers, so that the others can still be sent."""
    return outcome.kind in {"refused", "braked"} and outcome.fault in {None, "receiver"}
