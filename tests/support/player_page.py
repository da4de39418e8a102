"""Handles for what tests of the page of `spectrodiff play` do and look at."""

import json
from pathlib import Path

from tests.support.browser import Browser

SECONDS = 14.0
"""Length of the song that the tests of the page begin with."""

PLAY = "document.getElementById('play').click()"
# Notes what is scheduled: the time on the audio clock, and the samples.
RECORD_STARTS = """
window.starts = [];
const begin = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when) {
  window.starts.push({ when, samples: this.buffer.getChannelData(0).slice() });
  return begin.call(this, when);
};
"""


class PlayerPage(Browser):
    """The page in a tab, and what one does in it."""

    def __init__(self, address: str, width: int = 1200, height: int = 900) -> None:
        super().__init__(width, height, origin=address)
        self.address = address

    def begin(self) -> None:
        """Opens the page anew, and waits until its song has begun to be rendered."""
        self.visit(self.address)
        self.wait_for("window.player && player.renderedSeconds() > 0")

    def drop(self, name: str, data: bytes) -> None:
        """Drops a file on the page."""
        self.run(
            f"(() => {{ const file = new File([Uint8Array.from({list(data)})], {json.dumps(name)});"
            "const files = new DataTransfer(); files.items.add(file);"
            "for (const type of ['dragenter', 'dragover', 'drop'])"
            "document.body.dispatchEvent(new DragEvent(type,"
            "{dataTransfer: files, bubbles: true, cancelable: true})); })()"
        )

    def choose(self, selector: str, value: str) -> None:
        """Chooses an option of a select, or a value of an input."""
        self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            f"e.value = {json.dumps(value)};"
            "for (const type of ['input', 'change'])"
            "e.dispatchEvent(new Event(type, {bubbles: true})); })()"
        )

    def press_button(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)}).textContent"))

    def wait_for_text(self, selector: str, part: str) -> None:
        query = f"document.querySelector({json.dumps(selector)})?.textContent"
        self.wait_for(f"({query} ?? '').includes({json.dumps(part)})")

    def play_until(self, seconds: float) -> None:
        """Plays, and waits until a position has been heard."""
        self.run(f"player.state() === 'stopped' && {PLAY}")
        self.wait_for(f"player.position() >= {seconds}")

    def seek(self, seconds: float) -> None:
        """Clicks where a position is in the overview of the song."""
        x, y = self.run(
            "(() => { const box = document.getElementById('overview').getBoundingClientRect();"
            f"return [box.x + box.width * {seconds} / player.take().seconds, box.y + 20]; }})()"
        )
        self.click(x, y)

    def own_problems(self, *expected: str) -> list[str]:
        """Problems but those that contain one of some texts; they are forgotten."""
        found = [p for p in self.problems if not any(text in p for text in expected)]
        self.problems.clear()
        return found

    def save(self, name: str, data: bytes, folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path
