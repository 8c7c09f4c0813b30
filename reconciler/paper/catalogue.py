"""
The page of all faults and actions, made from the code: ``python -m reconciler.paper.catalogue``.

docs/paper-faults.md is this page; a test holds it to that.
"""

from __future__ import annotations

import sys

from .actions import ACTIONS
from .faults import CATALOGUE, GROUPS

HEAD = """\
# Faults and actions of the paper exchange

Made from the code by `python -m reconciler.paper.catalogue > docs/paper-faults.md`; don't edit it.

A fault is a named switch. It has a probability, drawn each time that what it befalls comes by;
a count, how often it strikes at most; and, where it is about one instrument, a symbol. The draws of
a fault come from the seed and do not depend on what else is on. Switch it

- at the start: `reconciler simulate --fault lost-answer=0.01 --fault late-fill`. Without a
  probability it always strikes. `--fault position-lag:XBTUSDx3=0.5` is for XBTUSD alone, at most
  three times. `--fault all=0.01` switches on every fault that leaves nothing behind;
- while it runs: `curl -d '{"name":"lost-answer","probability":0.5,"count":3}' -H
  'content-type: application/json' http://127.0.0.1:8766/paper/fault`. Probability 0 is off.
  `GET /paper/faults` tells of each fault what it is set to and how often it has struck;
- at a time: by a step of a scenario, see below.

*Stands for* names the rows of the fault model of this project, 15 being the list of what BitMEX was
seen to do. *Lasting* faults leave something behind that does not heal by itself, such as a second
order or a settled instrument: `all` leaves them off.
"""

ACTIONS_HEAD = """\
## Actions

What can be done to a running exchange: `POST /paper/<action>` with the fields as JSON, or a step of
a scenario. An answer is 200, or 400 with the reason, and nothing changed then. Fields are optional
where that makes sense; `account` is the first account unless it is named. `GET /paper/truth` tells
everything that has happened on an account.

| action | fields | what it does |
|---|---|---|
"""

SCENARIO = """
## Scenarios

`reconciler simulate --scenario storm.toml`. The whole file is checked before the exchange opens;
the error names the step. Times are market time after the start, so they go faster with `--speed`.

```toml
[[step]]
at = "10s"                 # 10, "10s", "1m30s", "500ms"
do = "fault"
name = "lost-answer"
probability = 0.5
count = 3

[[step]]
at = "30s"
do = "price"
symbol = "XBTUSD"
price = 60000

[[step]]
at = "1m"
do = "rules"
symbol = "XBTUSD"
lotSize = 200

[[step]]
at = "2m"
do = "maintenance"         # sockets closed, suspension, cancels alone, open
suspended = 10
cancelOnly = 20
```

`GET /paper/scenario` tells which steps were done, and what each was answered.
"""


def page() -> str:
    """The page, in Markdown."""
    lines = [HEAD]
    for group, title in GROUPS.items():
        lines += [f"## {title}\n", "| fault | what happens | stands for |", "|---|---|---|"]
        for fault in CATALOGUE.values():
            if fault.group == group:
                marks = [] if fault.by_symbol else ["for all symbols"]
                marks += ["lasting"] if fault.lasting else []
                note = f" *({', '.join(marks)})*" if marks else ""
                rows = ", ".join(fault.rows.split())
                lines.append(f"| `{fault.name}` | {fault.description}{note} | {rows} |")
        lines.append("")
    text = "\n".join(lines) + "\n" + ACTIONS_HEAD
    for name, action in ACTIONS.items():
        fields = ", ".join(f"`{field}`" for field in action.fields)
        says = " ".join(action.says.split())
        text += f"| `{name}` | {fields} | {says} |\n"
    return text + SCENARIO


if __name__ == "__main__":
    sys.stdout.write(page())
