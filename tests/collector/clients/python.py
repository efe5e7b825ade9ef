"""Segment's client for Python, as its documentation has it used; only the host is another.

    python.py HOST WRITE_KEY USER [gzip]
"""
import sys

import segment.analytics as analytics

host, key, user = sys.argv[1:4]
failures = []
analytics.host = host
analytics.write_key = key
analytics.gzip = "gzip" in sys.argv
analytics.max_retries = 3
analytics.on_error = lambda error, items: failures.append(f"{error}: {len(items)} events")

analytics.identify(user, {"plan": "pro"})
for amount in (80, 40):
    analytics.track(user, "purchase", {"amount": amount, "note": "line\nfeed, “quotes”"})
analytics.page(user, "Docs", "Python", {"path": "/"})
analytics.screen(user, "Docs", "Python", {"path": "/"})
analytics.group(user, "acme", {"plan": "free"})
analytics.alias("anonymous", user)
analytics.flush()
analytics.join()
sys.exit("\n".join(failures) or 0)
