"""Headless Chromium over its debugging pipe: a page is opened, clicked, typed at and looked at."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""
#: Codes of the keys that are pressed by name; letters have their own.
KEYS = {
    "Tab": 9,
    "Enter": 13,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Delete": 46,
    "Shift": 16,
}
#: What a key types, where it types anything but itself.
TYPES = {"Enter": "\r", " ": " "}
CONTROL, SHIFT = 2, 8


class Browser:
    """One window; what its console complains of is kept in ``complaints``."""

    def __init__(self, folder: Path, *, width: int = 1280, height: int = 900) -> None:
        to_it, mine_out = os.pipe()
        mine_in, from_it = os.pipe()

        def plumb() -> None:
            # The browser reads descriptor 3 and writes 4; whatever stood there moves away first.
            a, b = os.dup(to_it), os.dup(from_it)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self._process = subprocess.Popen(
            [
                *(BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--remote-debugging-pipe", f"--window-size={width},{height}"),
                *(f"--user-data-dir={folder / 'profile'}", "about:blank"),
            ],
            close_fds=False,
            preexec_fn=plumb,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_it)
        os.close(from_it)
        self._out, self._in, self._rest, self._count = mine_out, mine_in, b"", 0
        self._session: str | None = None
        self.complaints: list[str] = []
        targets = self._ask("Target.getTargets")["targetInfos"]
        page = next(t for t in targets if t["type"] == "page")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._out)
        os.close(self._in)

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """The size of the window, in CSS pixels."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )

    def colours(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._ask("Emulation.setEmulatedMedia", features=[feature])

    def open(self, address: str) -> None:
        """Go to an address."""
        self._ask("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """The value of an expression in the page, promises awaited."""
        found = self._ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def wait(self, script: str, patience_s: float = 60.0) -> float:
        """Until an expression is true; how many seconds that took."""
        began_s = time.monotonic()
        while not self.run(f"!!({script})"):
            if time.monotonic() - began_s > patience_s:
                raise TimeoutError(f"{script} is not true after {patience_s} s")
            time.sleep(0.02)
        return time.monotonic() - began_s

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press, move in two steps, let go."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        for kind, (x, y) in (
            ("mousePressed", start),
            ("mouseMoved", middle),
            ("mouseMoved", end),
            ("mouseReleased", end),
        ):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, *, control: bool = False, shift: bool = False) -> None:
        """A key, by its name."""
        code = KEYS.get(key, ord(key.upper()[0]))
        given = {
            "key": key,
            "windowsVirtualKeyCode": code,
            "modifiers": CONTROL * control + SHIFT * shift,
        }
        typed = {"text": TYPES[key]} if key in TYPES else {}
        self._ask("Input.dispatchKeyEvent", type="keyDown", **given, **typed)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **given)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        shot = self._ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def heap_bytes(self) -> int:
        """Memory that the page's script holds after a collection."""
        self._ask("HeapProfiler.collectGarbage")
        return int(self._ask("Runtime.getHeapUsage")["usedSize"])

    def _ask(self, method: str, **values: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": values}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            told = self._hear()
            if told.get("id") == self._count:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result
            self._note(told)

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], 120)[0]:
                raise TimeoutError("the browser says nothing")
            piece = os.read(self._in, 2**16)
            if not piece:
                raise EOFError("the browser has gone")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        return told

    def _note(self, told: dict[str, Any]) -> None:
        method, values = told.get("method"), told.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(values["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(values["args"])[:500])
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{values['entry']['text']} {values['entry'].get('url', '')}")
