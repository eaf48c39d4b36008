"""Turns control documents into routing tables and gets them to the workers, with the lease that candidates need.

The lease counts from the start of the last *successful* read of control state: an agent that cannot read the store
cannot extend it, and candidates stop by themselves. Tables lie on disk too, for workers that start without an agent.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from gateway.core.errors import StoreUnavailable
from gateway.core.routing import RoutingTable
from gateway.core.state import DeploymentState
from gateway.core.tables import table_of
from gateway.edge.run import Run
from gateway.ports import Clock, ControlState
from gateway.processes.channel import Lease, Tables, ToWorker
from gateway.processes.plans import Plans
from gateway.processes.tables import leave_on_disk, take_from_disk

log = structlog.get_logger(__name__)

LEASE_S = 3.0


class Publisher:
    """What is in force on this host, as the agent last read it."""

    def __init__(
        self,
        control: ControlState,
        plans: Plans,
        clock: Clock,
        run: Run,
        send: Callable[[ToWorker], None],
        folder: Path,
    ) -> None:
        self.states: dict[str, DeploymentState] = {}
        self.tables: dict[str, RoutingTable] = {}
        self.trouble: str | None = "The store has not been read yet."
        self._control = control
        self._plans = plans
        self._clock = clock
        self._run = run
        self._send = send
        self._folder = folder
        self._lease = float("-inf")

    def greeting(self) -> Sequence[ToWorker]:
        """What a worker that has just called is told."""
        return (Tables(tuple(self.tables.values())), self._word())

    async def refresh(self) -> bool:
        """Read control state, push what has changed, renew the lease. Says whether any document has changed."""
        started = self._clock.machine()
        try:
            states = await self._run(self._control.all)
        except StoreUnavailable as error:
            if self.trouble is None:
                log.error("control_state_unreadable", reason=str(error))  # noqa: TRY400 - the sentence says it all
            self.trouble = str(error)
            return False
        self.trouble = None
        changed = {state.deployment: state for state in states} != self.states
        self.states = {state.deployment: state for state in states}
        await self._publish()
        self._lease = started + LEASE_S
        self._send(self._word())
        return changed

    def compare(self, left: Sequence[RoutingTable]) -> None:
        """Take away tables on disk that this store never wrote: they are ahead of it, so it is another store's state.

        Workers that already hold such a table go on with it, since they never step back, until they are restarted.
        """
        if self.trouble is not None:
            return
        for table in left:
            state = self.states.get(table.deployment)
            if state is None or state.revision < table.revision:
                log.error("table_ahead_of_store", deployment=table.deployment, revision=table.revision)
                take_from_disk(self._folder, table)

    def _word(self) -> Lease:
        return Lease(self._lease, self._clock.data())

    async def _publish(self) -> None:
        drawn = [table for state in self.states.values() if (table := self._draw(state)) is not None]
        fresh = tuple(table for table in drawn if table != self.tables.get(table.deployment))
        if not fresh:
            return
        self.tables |= {table.deployment: table for table in fresh}
        self._send(Tables(fresh))
        await self._run(lambda: self._leave(fresh))

    def _draw(self, state: DeploymentState) -> RoutingTable | None:
        plan = self._plans.choose(state)
        return None if plan is None else table_of(state, plan)

    def _leave(self, tables: Sequence[RoutingTable]) -> None:
        try:
            for table in tables:
                leave_on_disk(self._folder, table)
        except OSError as error:  # a full disk must not keep a demotion from the workers that run
            log.error("table_not_on_disk", reason=str(error))  # noqa: TRY400 - the sentence says it all
