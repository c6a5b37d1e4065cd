"""The HTTP client that Stripe's SDK uses."""

from __future__ import annotations

import random
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import stripe
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy

from fundraiser.payments.stripe.patience import current_patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CONNECT = 3.0  # seconds
_KEPT = 64  # persistent connections, about one for each waiting thread
_NOT_NOW = {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}
_PAUSES = (0.3, 0.6, 1.2)  # seconds, about


class Connections(stripe.HTTPClient):
    """Persistent connections for all threads, with our own time-outs.

    Uses urllib3 directly: requests needs twice the CPU. ``read`` is how many seconds ``address``
    may be silent. ``take_turn`` waits until a call may leave; it runs for each attempt, since
    Stripe counts each.
    """

    name = "urllib3"

    def __init__(
        self,
        address: str,
        read: float,
        take_turn: Callable[[str, str], None] = lambda *_: None,
        note: Callable[[str, str, float, int], None] = lambda *_: None,
    ) -> None:
        super().__init__()
        proxy = select_proxy(address, get_environ_proxies(address))
        self._pool: urllib3.PoolManager = (
            HTTPAdapter(pool_maxsize=_KEPT).proxy_manager_for(proxy, ca_certs=stripe.ca_bundle_path)
            if proxy
            else urllib3.PoolManager(maxsize=_KEPT, ca_certs=stripe.ca_bundle_path)
        )
        self._read, self._take_turn, self._note = read, take_turn, note

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,  # noqa: ANN401 - the SDK's own
        **_: object,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Make one attempt; the SDK retries temporary errors while there is time."""
        with current_patience().place():
            for pause in (*_PAUSES, None):
                answer = self._ask(method, url, headers, post_data)
                if (
                    answer.status not in _NOT_NOW
                    or pause is None
                    or current_patience().left < 2 * pause
                ):
                    break
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - guards nothing
        # Undecodable text isn't JSON either, which the SDK reports.
        return answer.data.decode(errors="replace"), answer.status, answer.headers

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: Any,  # noqa: ANN401 - the SDK's own
    ) -> urllib3.BaseHTTPResponse:
        self._take_turn(method, url)
        left = current_patience().left
        if left <= 0:
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call] # as the SDK has it
                "The time for this is over.", should_retry=False
            )
        timeout = urllib3.Timeout(connect=min(_CONNECT, left), read=min(self._read, left))
        begun, status = time.perf_counter(), 0
        try:
            answer = self._pool.request(
                method,
                url,
                body=body,
                headers={**(headers or {}), "Accept-Encoding": "gzip"},
                timeout=timeout,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            may_pass = not isinstance(error, urllib3.exceptions.SSLError)
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call] # as the SDK has it
                repr(error), should_retry=may_pass
            ) from error
        else:
            status = answer.status
            return answer
        finally:
            self._note(method, url, time.perf_counter() - begun, status)
