"""What the person at the terminal sees while the story is played."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from demo.player import Tally


class Screen:
    """A line per decision, and below them one line that says where the story stands."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(Text(""), console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> "Screen":
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def stop(self) -> None:
        """Take the moving line away."""
        self._live.stop()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._console.print(line, highlight=False)

    def act(self, title: str) -> None:
        """Open an act."""
        self._console.rule(title, align="left")

    def told(self, as_told: bool, summary: str) -> None:
        """Close an act."""
        mark = "[green]as told[/]" if as_told else "[bold red]not as told[/]"
        self._console.print(f"  {mark}: {summary}", highlight=False)

    def decision(self, line: dict[str, Any]) -> None:
        """Show one line of the timeline as it was made."""
        day = _day(line["data_at"])
        self._console.print(
            f"  [dim]{day}[/]  [bold]{line['action']}[/] ({line['actor']}): {line['reason']}", highlight=False
        )

    def progress(self, at: float, tally: Tally) -> None:
        """Move the line that says where the story stands."""
        served = ", ".join(f"{name} {count:,}" for name, count in sorted(tally.served.items()))
        pace = tally.requests / max(tally.seconds(), 1e-9)
        self._live.update(Text(f"  {_day(at)}  {served}  ({pace:,.0f} flights/s, {tally.outcomes:,} labels)"))


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %H:%M")
