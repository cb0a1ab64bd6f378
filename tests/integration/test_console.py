"""The pages of the console."""
from tests.fixtures.operators import Browser


def test_scratch(browser: Browser) -> None:
    for p in ("/", "/causes", "/blocked", "/held", "/conflicts", "/runs", "/plans", "/plans/1", "/decisions", "/records?state=skipped", "/record/account/A-1"):
        a = browser.open(p)
        print(p, a.status_code, len(a.text))
        open("/tmp/out" + p.replace("/", "_").replace("?","_") + ".html", "w").write(a.text)
