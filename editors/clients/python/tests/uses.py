"""Checked, not run: what the types allow, and what they refuse."""

from typing import Awaitable, Optional

from runlog import Client, Run
from runlog.types import Summary


def uses(client: Client) -> None:
    found = client.request("executions/list", {"limit": 20, "status": ["failed"]})
    first: Summary = found["executions"][0]
    label: Optional[str] = first.get("label")
    cost: float = client.request("executions/stats")["totalCostUSD"]
    client.request("ping")
    client.request("executions/lits", {})  # type: ignore[call-overload]
    client.request("executions/get", {"projectId": "p"})  # type: ignore[call-overload]
    client.request("executions/list", {"limit": "all"})  # type: ignore[call-overload]
    client.request("ping", timeout=1)
    client.request("ping", timeuot=1)  # type: ignore[call-overload]
    client.run("p").add()  # type: ignore[attr-defined]
    for change in client.changes({"projectId": "p"}):
        if change["kind"] == "deleted":
            print(change["executionId"], label, cost)
            print(change["summary"])  # type: ignore[typeddict-item]
    with client.run("p", name="n") as run:
        recorded: Run[None] = run
        recorded.finish("success")  # type: ignore[arg-type]
        with recorded.step("s", nodeType="mcp") as step:
            step.add(costUSD="free")  # type: ignore[arg-type]


async def uses_asyncio(client: Client) -> None:
    total: int = (await client.request_async("executions/list", {"limit": 1}))["total"]
    async for change in client.changes({"status": "failed"}):
        print(change["clock"], total)
    async with client.run("p", name="n") as run:
        recorded: Run[Awaitable[None]] = run
        async with recorded.step("s") as step:
            await step.set(output=None)
