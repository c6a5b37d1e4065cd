"""The way to Stripe: what the SDK sends its calls over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stripe
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy

from fundraiser.payments.stripe.patience import current_patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CONNECT = 3.0  # seconds
_KEPT = 32  # connections that stay open, as many as threads of one process wait at once, about


class Connections(stripe.HTTPClient):
    """Connections that stay open, for all threads, with time-outs of our own.

    urllib3 by itself: what requests does on top of it took as much of the processor again.
    ``read`` is how many seconds ``address`` may be silent. ``take_turn`` waits until a call may
    leave; it is asked for each try, since each counts at Stripe.
    """

    name = "urllib3"

    def __init__(
        self, address: str, read: float, take_turn: Callable[[str, str], None] = lambda *_: None
    ) -> None:
        super().__init__()
        proxy = select_proxy(address, get_environ_proxies(address))
        self._pool: urllib3.PoolManager = (
            HTTPAdapter(pool_maxsize=_KEPT).proxy_manager_for(proxy, ca_certs=stripe.ca_bundle_path)
            if proxy
            else urllib3.PoolManager(maxsize=_KEPT, ca_certs=stripe.ca_bundle_path)
        )
        self._read, self._take_turn = read, take_turn

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,  # noqa: ANN401 - the SDK's own
        **_: object,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Try once; the SDK tries again what may pass, and what there is time for."""
        self._take_turn(method, url)
        left = current_patience().left
        if left <= 0:
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call] # as the SDK has it
                "The time for this is over.", should_retry=False
            )
        timeout = urllib3.Timeout(connect=min(_CONNECT, left), read=min(self._read, left))
        try:
            answer = self._pool.request(
                method,
                url,
                body=post_data,
                headers={**(headers or {}), "Accept-Encoding": "gzip"},
                timeout=timeout,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            may_pass = not isinstance(error, urllib3.exceptions.SSLError)
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call] # as the SDK has it
                repr(error), should_retry=may_pass
            ) from error
        # What is no text is no JSON either, and the SDK has an error for that.
        return answer.data.decode(errors="replace"), answer.status, answer.headers
