"""Flower: secure aggregation for its apps, with one import and one changed line on each side.

The client's side, whichever API the app uses::

    from bluetusk.integrations.flower import secagg_mod

    app = ClientApp(mods=[secagg_mod])

The server's side with the Message API, where Flower itself has no secure aggregation::

    from bluetusk.integrations.flower import SecAgg

    strategy = SecAgg(FedAvg())

and with the older API, in the place of Flower's ``SecAggPlusWorkflow``::

    from bluetusk.integrations.flower import SecAggWorkflow

    workflow = DefaultWorkflow(fit_workflow=SecAggWorkflow())

The strategy gets the weighted mean of the updates, in place of each update; the server learns no single update. It must
follow the protocol (semi-honest): the keys that clients know each other by come from it. It learns the sum, who is in
it, and the app's metrics and number of examples, unless ``SecAggMod(metrics=False)``.
Needs the extra ``flower``, hence CPython 3.11.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

from .._numeric import as_int
from ..errors import BluetuskError
from ._flower_client import answer, printable
from ._flower_records import KEY, LOG, flower_app, is_train
from ._flower_server import Round, SecureGrid, Settings, refuse_strategy

__all__ = ["Round", "SecAgg", "SecAggMod", "SecAggWorkflow", "secagg_mod"]

_CLIP, _FRAC_BITS, _MAX_WEIGHT, _CORRUPT, _DROPOUT, _MIN_CLIENTS = 8.0, 20, 10_000, 0.1, 0.3, 3


class SecAggMod:
    """The client's mod: it answers the server's steps, and lets nothing out of training but a masked vector.

    List it first among an app's mods: those behind it see the training message alone, those before it the protocol's
    messages too. A training message from a server that does not aggregate securely is refused. Other messages
    (evaluate, query, the older API's request for initial parameters) pass as they are.

    Parameters
    ----------
    metrics : bool, default True
        Whether the app's metrics and number of examples go to the server unchanged, as with Flower's own mod. If
        False none of them do, and the strategy sees equal weights, a share each of the summed weight.
    min_clients : int, default 3
        The client refuses sessions that would unmask a sum of fewer clients; at least 2.
    journals : path-like, optional
        A folder on a disk that survives. By default what the node's configuration calls ``bluetusk-journals``, else
        ``bluetusk/flower`` in ``$XDG_STATE_HOME`` (``~/.local/state``). A client notes there what it must not do twice
        before its answer leaves, and keeps its encrypted state between messages: losing the folder within a round
        breaks that promise, and all hosts that run one node's app must share it.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Examples
    --------
    >>> from flwr.clientapp import ClientApp
    >>> app = ClientApp(mods=[SecAggMod(metrics=False, min_clients=5)])
    """

    def __init__(
        self, *, metrics: bool = True, min_clients: int = _MIN_CLIENTS, journals: str | os.PathLike[str] | None = None
    ) -> None:
        self.metrics = bool(metrics)
        self.min_clients = as_int(min_clients, "min_clients", 2)
        self.journals = journals

    def __call__(self, msg: Any, ctxt: Any, call_next: Callable[[Any, Any], Any]) -> Any:
        """Handle a message, as Flower calls a mod.

        Parameters
        ----------
        msg : flwr.app.Message
        ctxt : flwr.app.Context
        call_next : callable
            The next mod, or the app.

        Returns
        -------
        flwr.app.Message
            The reply, or an error for the server that names what was refused.
        """
        if not is_train(msg.metadata.message_type):
            return call_next(msg, ctxt)
        app = flower_app()
        record = msg.content.config_records.get(KEY)
        failed: list[Exception] = []

        def train(message: Any, context: Any) -> Any:
            try:
                return call_next(message, context)
            except Exception as err:
                failed.append(err)
                raise

        try:
            if record is None:
                raise ValueError(
                    "this client trains under secure aggregation only: the server needs SecAgg or SecAggWorkflow"
                )
            del msg.content[KEY]
            return answer(record, msg, ctxt, train, self)
        except (BluetuskError, OSError, TypeError, ValueError) as err:
            if failed:
                raise  # the app's own: Flower reports it
            LOG.error("Secure aggregation: %s", err)
            return app.Message(app.Error(6, printable(err)), reply_to=msg)  # 6: a mod's precondition failed

    def __repr__(self) -> str:
        return f"SecAggMod(metrics={self.metrics}, min_clients={self.min_clients}, journals={self.journals!r})"


def secagg_mod(msg: Any, ctxt: Any, call_next: Callable[[Any, Any], Any]) -> Any:
    """Answer a message as :class:`SecAggMod` with its defaults does.

    Parameters
    ----------
    msg : flwr.app.Message
    ctxt : flwr.app.Context
    call_next : callable
        The next mod, or the app.

    Returns
    -------
    flwr.app.Message

    Examples
    --------
    >>> from flwr.clientapp import ClientApp
    >>> app = ClientApp(mods=[secagg_mod])
    """
    return _DEFAULT(msg, ctxt, call_next)


_DEFAULT = SecAggMod()


class _Configured:
    """The settings that both faces of the server have."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rounds: list[Round] = []

    @property
    def rounds(self) -> tuple[Round, ...]:
        """The result of each round of training, with the error of one that failed.

        Examples
        --------
        >>> SecAggWorkflow().rounds
        ()
        """
        return tuple(self._rounds)

    def _said(self) -> str:
        s = self._settings
        return (
            f"clip={s.clip}, frac_bits={s.frac_bits}, max_weight={s.max_weight}, corrupt={s.corrupt}, "
            f"dropout={s.dropout}"
        )


class SecAgg(_Configured):
    """A strategy of the Message API under secure aggregation: ``SecAgg(FedAvg()).start(grid, ...)``.

    It runs the strategy it is given on a grid whose training replies hold the weighted mean of all updates. Strategies
    that look at single updates (medians, Krum, clipping at the server, trees) are refused. Where strategies wrap each
    other this one is the outermost.

    Parameters
    ----------
    strategy : flwr.serverapp.strategy.Strategy
        It weights replies by its ``weighted_by_key``, a whole number.
    clip : float, default 8.0
        The largest magnitude of an update's values. In an app that sends whole models that is the largest weight of
        the model, integer arrays included.
    frac_bits : int, default 20
        Binary digits after the point: the mean is exact to ``2**-(frac_bits + 1)``, then rounded to the arrays' type.
    on_clip : {"raise", "clip", "l2"}
        What a client does with an update beyond the clip: leave the round with an error that names the array, clip each
        value, or scale the update to this norm.
    max_weight : int, default 10000
        The largest weight of one client, its number of examples.
    corrupt, dropout : float, default 0.1, 0.3
        The largest fraction of clients that work together with the server; that vanish after they trained. See
        :func:`bluetusk.federated.secagg.plan`.
    min_clients : int, default 3
        A round with fewer clients fails.
    timeout : float, optional
        Seconds to wait for answers to a step after training; by default as long as for training.

    Attributes
    ----------
    strategy
        As given.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, out of range, or not allowed.

    Examples
    --------
    >>> from flwr.serverapp.strategy import FedAvg
    >>> SecAgg(FedAvg(), clip=4.0)
    SecAgg(FedAvg, clip=4.0, frac_bits=20, max_weight=10000, corrupt=0.1, dropout=0.3)
    """

    def __init__(
        self,
        strategy: Any,
        *,
        clip: float = _CLIP,
        frac_bits: int = _FRAC_BITS,
        on_clip: Literal["raise", "clip", "l2"] = "raise",
        max_weight: int = _MAX_WEIGHT,
        corrupt: float = _CORRUPT,
        dropout: float = _DROPOUT,
        min_clients: int = _MIN_CLIENTS,
        timeout: float | None = None,
    ) -> None:
        super().__init__(Settings(clip, frac_bits, on_clip, max_weight, corrupt, dropout, min_clients, timeout))
        inner, weighted_by = strategy, None
        while inner is not None and weighted_by is None:
            refuse_strategy(inner)
            weighted_by, inner = getattr(inner, "weighted_by_key", None), getattr(inner, "strategy", None)
        self.strategy = strategy
        self._weighted_by = weighted_by or "num-examples"

    def start(self, grid: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the strategy.

        A round that cannot be aggregated securely leaves the model unchanged; it is logged and noted in :attr:`rounds`.

        Parameters
        ----------
        grid : flwr.serverapp.Grid
        *args, **kwargs
            As the strategy's own ``start`` takes them.

        Returns
        -------
        flwr.serverapp.strategy.Result

        Examples
        --------
        >>> from flwr.serverapp import ServerApp
        >>> from flwr.serverapp.strategy import FedAvg
        >>> app = ServerApp()
        >>> @app.main()
        ... def main(grid, context):
        ...     strategy = SecAgg(FedAvg())
        ...     result = strategy.start(grid=grid, initial_arrays=initial_arrays, num_rounds=3)
        """
        return self.strategy.start(SecureGrid(grid, self._settings, self._weighted_by, self._rounds), *args, **kwargs)

    def __repr__(self) -> str:
        return f"SecAgg({type(self.strategy).__name__}, {self._said()})"


class SecAggWorkflow(_Configured):
    """The workflow of a training round for Flower's older API, in the place of its ``SecAggPlusWorkflow``.

    Parameters
    ----------
    clip, frac_bits, on_clip, max_weight, corrupt, dropout, min_clients
        As in :class:`SecAgg`.
    timeout : float, optional
        Seconds to wait for the answers to each message, training included; by default for ever, as Flower's own.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Examples
    --------
    >>> SecAggWorkflow(max_weight=30_000, timeout=600.0)
    SecAggWorkflow(clip=8.0, frac_bits=20, max_weight=30000, corrupt=0.1, dropout=0.3)
    """

    def __init__(
        self,
        *,
        clip: float = _CLIP,
        frac_bits: int = _FRAC_BITS,
        on_clip: Literal["raise", "clip", "l2"] = "raise",
        max_weight: int = _MAX_WEIGHT,
        corrupt: float = _CORRUPT,
        dropout: float = _DROPOUT,
        min_clients: int = _MIN_CLIENTS,
        timeout: float | None = None,
    ) -> None:
        super().__init__(Settings(clip, frac_bits, on_clip, max_weight, corrupt, dropout, min_clients, timeout))

    def __call__(self, grid: Any, context: Any) -> None:
        """Run one round of training, as ``DefaultWorkflow`` calls it.

        Parameters
        ----------
        grid : flwr.serverapp.Grid
        context : flwr.server.LegacyContext
            Its strategy gets every client's result with the weighted mean for parameters.
        """
        flower_app()
        from flwr.server.workflow.default_workflows import default_fit_workflow

        refuse_strategy(context.strategy)
        default_fit_workflow(_Timed(grid, self._settings, "num_examples", self._rounds), context)

    def __repr__(self) -> str:
        return f"SecAggWorkflow({self._said()})"


class _Timed(SecureGrid):
    """The grid for a caller that gives no timeout."""

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Any]:
        return super().send_and_receive(messages, timeout=self._settings.timeout if timeout is None else timeout)
