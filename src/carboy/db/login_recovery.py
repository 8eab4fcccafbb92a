"""Find the login that works while a password rotates: one thread tries logins, the others wait for its result.

Between a rotation's `setSecret` and `finishSecret` only the pending version works, and before and after it only the
current one. A wrong password is tried seldom, as accounts get locked.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TypeVar

from carboy.clock import SYSTEM_CLOCK, Clock
from carboy.db.credentials import Credentials, Login
from carboy.jitter import SYSTEM_RANDOM
from carboy.logs import BoundLogger, get_logger

log: BoundLogger = get_logger(__name__)
T = TypeVar("T")


class LoginRefused(Exception):
    """The database refused a login.

    Attributes:
        login: the refused one.
        cause: the driver's exception.
        is_sure: False where the server's answer may mean something else.
    """

    def __init__(self, login: Login, cause: Exception, *, is_sure: bool) -> None:
        super().__init__(login.version)
        self.login: Login = login
        self.cause: Exception = cause
        self.is_sure: bool = is_sure


class LoginRecovery:
    """Logs in, and after a refusal tries other versions of the credentials.

    Args:
        credentials: the vault.
        heal_s: how long one caller waits for a login that works.
        probe_s: the least time between two searches, and between two tries of a refused login.
        clock: the time.
    """

    def __init__(
        self, credentials: Credentials, *, heal_s: float = 10.0, probe_s: float = 5.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._credentials, self._heal_s, self._probe_s, self._clock = credentials, heal_s, probe_s, clock
        self._good: Login | None = None
        self._refused: frozenset[str] = frozenset()
        self._last: LoginRefused | None = None
        self._gave_up_at: float | None = None
        self._looks = 0
        self._used: tuple[str, ...] = ()  # the latest versions that were logged in with, while they were current
        self._begin()
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_again(itself()))

    def connect(self, open_: Callable[[Login], T]) -> T:
        """Return what `open_` returns for the login that works.

        Args:
            open_: logs in; raises `LoginRefused`, or any other error.

        Raises:
            LoginRefused: no login worked within `heal_s`, or in the last `probe_s`.
            UpstreamError: the vault has no login.
        """
        until_s = self._clock.monotonic_s() + self._heal_s
        while True:
            login = self._choose()
            if login.version not in self._refused:
                try:
                    return self._try(open_, login)
                except LoginRefused as refusal:
                    if not refusal.is_sure:
                        return self._try_newer(open_, refusal, until_s)
            if self._must_look(until_s):
                found = self._lead(open_, until_s)
                if found is not None:
                    return found[0]

    def _begin(self) -> None:
        """Start with a fresh lock and no refresh under way, also in a forked child."""
        self._changed = threading.Condition()
        self._is_looking = False

    def _choose(self) -> Login:
        """Return the current login; while that is known not to work, the last one that did."""
        newest, good = self._credentials.newest(), self._good
        return newest if newest.version not in self._refused or good is None else good

    def _try(self, open_: Callable[[Login], T], login: Login) -> T:
        try:
            opened = open_(login)
        except LoginRefused as refusal:
            if refusal.is_sure:
                with self._changed:
                    self._last, self._refused = refusal, self._refused | {login.version}
                    if self._good is not None and self._good.version == login.version:
                        self._good = None
            raise
        if self._refused or self._good is None or self._good.version != login.version:
            self._accept(login)
        return opened

    def _accept(self, login: Login) -> None:
        is_current = self._credentials.newest().version == login.version
        with self._changed:
            if self._refused and self._good is None:
                log.info("database_login_recovered", source=login.source, is_pending=not is_current)
            self._good, self._gave_up_at, self._looks = login, None, 0
            if is_current:
                self._used = (*self._used[-15:], login.version)
            self._refused = frozenset() if is_current else self._refused - {login.version}
            self._changed.notify_all()

    def _try_newer(self, open_: Callable[[Login], T], refusal: LoginRefused, until_s: float) -> T:
        """Try again once, where the vault has another version: the answer may have been about the password."""
        login = self._credentials.refreshed({refusal.login.version}, self._left_s(until_s))
        if login.version == refusal.login.version:
            raise refusal
        return self._try(open_, login)

    def _must_look(self, until_s: float) -> bool:
        """Wait while another thread looks; return False when it has found a login, True when this thread must look.

        Raises:
            LoginRefused: no login works.
        """
        with self._changed:
            while self._good is None:
                now_s = self._clock.monotonic_s()
                gave_up = self._gave_up_at is not None and now_s - self._gave_up_at < self._probe_s
                if self._last is not None and (gave_up or now_s >= until_s):
                    raise LoginRefused(self._last.login, self._last.cause, is_sure=True)
                if not self._is_looking:
                    self._is_looking = True
                    return True
                self._changed.wait(max(0.0, until_s - now_s))
            return False

    def _lead(self, open_: Callable[[Login], T], until_s: float) -> tuple[T] | None:
        """Try logins until one works, and return what it opens; None when none works in time."""
        is_probe = self._gave_up_at is not None  # then one search is enough
        found = None
        try:
            found = self._look(open_, until_s)
            while found is None and not is_probe and self._wait_to_look(until_s):
                found = self._look(open_, until_s)
            return found
        finally:
            with self._changed:
                self._is_looking = False
                if found is None:
                    self._gave_up_at = self._clock.monotonic_s()
                self._changed.notify_all()

    def _wait_to_look(self, until_s: float) -> bool:
        """Wait for the next search; return whether there is time for one."""
        left_s = self._left_s(until_s)
        if left_s > 0:
            self._clock.sleep(min(left_s, self._probe_s * SYSTEM_RANDOM.uniform(1.0, 1.1)))
        return self._left_s(until_s) > 0

    def _look(self, open_: Callable[[Login], T], until_s: float) -> tuple[T] | None:
        for login in self._candidates(until_s):
            try:
                return (self._try(open_, login),)
            except LoginRefused as refusal:
                if not refusal.is_sure:
                    raise
        return None

    def _candidates(self, until_s: float) -> Iterator[Login]:
        """Yield the logins to try: first both versions of the vault, if new; then one and the other in turn.

        From the second look on a login that was refused is tried again: its password may have been corrected.
        """
        look, self._looks = self._looks, self._looks + 1
        if look == 0 or look % 2 == 1:
            newest = self._credentials.refreshed(self._refused, max(self._left_s(until_s), 0.0))
            if look > 0 or newest.version not in self._refused:
                yield newest
        if look % 2 == 0 and (look > 0 or self._left_s(until_s) > 0):
            pending = self._credentials.pending(max(self._left_s(until_s), 0.0))
            if pending is not None and pending.version not in {*self._refused, *self._used}:  # else it was, and is not
                yield pending
            elif look > 0:
                yield self._credentials.newest()

    def _left_s(self, until_s: float) -> float:
        return until_s - self._clock.monotonic_s()


def _begin_again(recovery: LoginRecovery | None) -> None:
    if recovery is not None:
        recovery._begin()
