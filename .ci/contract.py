"""Whether a run of schemathesis asked anything: what was answered, by status."""

import collections
import json
import sys


def main():
    name, path = sys.argv[1:]
    with open(path) as file:
        entries = json.load(file)["log"]["entries"]
    statuses = collections.Counter(it["response"]["status"] for it in entries)
    print(f"{name}: {len(entries)} requests,", dict(sorted(statuses.items())))
    succeeded = {
        (it["request"]["method"], it["request"]["url"].split("?")[0]) for it in entries if 200 <= it["response"]["status"] < 300
    }
    unheard = statuses[0] + statuses[401] + statuses[429]
    assert len(entries) >= 1000, "too few requests to say anything"
    assert len(succeeded) >= 50, f"only {len(succeeded)} paths ever succeeded"
    assert unheard * 10 < len(entries), "most of what was sent was not listened to"
    # 503 is an answer: `rate_unavailable` where no market gives a price.
    assert not any(status >= 500 and status != 503 for status in statuses), "a fault"


main()
