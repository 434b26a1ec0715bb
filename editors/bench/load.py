"""What the editors' benches are measured on.

    load.py make ROOT COUNT             a root of so many runs
    load.py save ROOT SECONDS RATE OUT  saves as the engine does them, half of them new runs, half of them changes
                                        of the newest ones; OUT has a line for each: its label, and the moments of
                                        its rename in nanoseconds, by the monotonic clock and by the wall clock
    load.py new ROOT COUNT RATE OUT     new runs only
"""

import json
import os
import sys
import time

PROJECTS = 20


def record(root, project, ident, minute, label, status="completed"):
    seconds = 1735689600 + 60 * minute
    started = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))
    value = {
        "id": ident, "projectId": project, "status": status, "input": label, "output": "Done. " * 40,
        "startedAt": started, "duration": 1500 + minute % 9000, "costUSD": 0.0123,
        "tokenUsage": {"input": 1200, "output": 300, "total": 1500},
        "steps": [{"id": "step-1", "nodeId": "write", "nodeType": "agent", "status": status, "output": "Done."}],
    }
    path = f"{root}/{project}/executions/{ident}.json"
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
    return path


def make(root, count):
    for p in range(PROJECTS):
        os.makedirs(f"{root}/project-{p:02}/executions", exist_ok=True)
    for i in range(count):
        status = "failed" if i % 7 == 0 else "completed"
        path = record(root, f"project-{i % PROJECTS:02}", f"exec-{i:07}", i, f"Run number {i}", status)
        os.rename(path + ".tmp", path)


def save(root, saves, rate, out, changes):
    base = sum(1 for p in os.scandir(root) for _ in os.scandir(f"{p.path}/executions"))
    news = []
    begin = time.monotonic()
    with open(out, "w", encoding="utf-8") as told:
        for i in range(saves):
            label = f"bench-{i:05}-"
            if changes and i % 2 and len(news) >= 10:
                # one of the newest ten, each in its turn
                project, ident, minute = news[-10:][i // 2 % 10]
                path = record(root, project, ident, minute, label, "failed")
            else:
                minute = base + len(news)
                news.append((f"project-{i % PROJECTS:02}", f"exec-{minute:07}", minute))
                path = record(root, *news[-1], label)
            wait = begin + i / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            monotonic, wall = time.monotonic_ns(), time.time_ns()
            os.rename(path + ".tmp", path)
            told.write(f"{label} {monotonic} {wall}\n")
    print(f"{saves / (time.monotonic() - begin):.1f} saves a second")


command, root = sys.argv[1:3]
if command == "make":
    make(root, int(sys.argv[3]))
elif command == "save":
    rate = float(sys.argv[4])
    save(root, int(float(sys.argv[3]) * rate), rate, sys.argv[5], True)
else:
    save(root, int(sys.argv[3]), float(sys.argv[4]), sys.argv[5], False)
