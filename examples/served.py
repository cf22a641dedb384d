"""Start a server, film by the official client of the Videos API, step into what was filmed: python examples/served.py [FOLDER]

Needs `pip install 'kinema[serve]' openai`. Against a server that runs already, only the address and the key are needed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import openai

import kinema


def main(folder: Path) -> None:
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # the client's: it is told that its service has ended
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "kinema.cli.main", "serve", "--port", "0", "--data", data]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert server.stdout is not None
        try:
            told = "".join(server.stdout.readline() for _ in range(2))
            address, key = re.findall(r"http://[\d.]+:\d+", told)[0], (Path(data) / "first-key").read_text().strip()

            client = openai.OpenAI(api_key=key, base_url=f"{address}/v1")
            video = client.videos.create_and_poll(prompt="a red ball rolls right and hits a blue box", seconds="2")
            client.videos.download_content(video.id).write_to_file(folder / "served.mp4")
            print(f"{video.id}: {video.status}, {video.seconds} s at {video.size}")

            world = kinema.RemoteWorld(address, kinema.Clip.open(folder / "served.mp4"), key=key)
            for _ in range(8):
                step = world.step()
            print(f"{world.time_s:.2f} s later:", ", ".join(thing.name for thing in step.state.entities))
            print(world.ask("where is the red ball?"))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
