"""A real browser for tests of pages: headless Chromium, and what it loaded and complained of."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.requirements import CHROMIUM, need
from tests.support.waiting import until

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
)
WIDE, NARROW, HEIGHT = 1_280, 360, 900


class Browser:
    """One window. ``run`` evaluates JavaScript in its page."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def show(self, url: str, *, width: int = WIDE, dark: bool = False) -> None:
        """Load ``url`` anew in a window of this width."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width == NARROW}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self._driver.get(url)

    def run(self, script: str) -> Any:
        """What ``script``, a function's body, returns."""
        return self._driver.execute_script(script)

    def text(self, selector: str) -> str:
        """Text of the first element of ``selector`` as it is rendered."""
        return str(self.run(f"return document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def until_text(self, selector: str, holds: Callable[[str], bool] | str) -> str:
        """Text of ``selector`` once it ``holds``: contains a text, or as a function says."""
        holding = (lambda text: holds in text) if isinstance(holds, str) else holds
        return until(lambda: self.text(selector), f"{selector} as awaited ({holds!r})", holds=holding)

    def press(self, key: str) -> None:
        """Have whatever is in focus hear ``key`` (as in ``KeyboardEvent.key``)."""
        for kind in ("keyDown", "keyUp"):
            self._driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": key})

    def complaints(self) -> list[str]:
        """What it has logged since the last call: blocked loads and scripts among it."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def origins(self) -> set[str]:
        """Schemes and hosts of all that was asked for since the last call."""
        said = (json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance"))
        asked = (one["params"]["request"]["url"] for one in said if one["method"] == "Network.requestWillBeSent")
        return {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, asked)}

    def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        size = self.run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        taken = self._driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        file.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of its own; the test ends here where there is none."""
    need("chromium", "chromedriver", install=CHROMIUM)
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
