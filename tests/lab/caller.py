"""A real call, as a program: ada publishes a tone, bob of the same room hears it and measures every gap.

Both are clients of LiveKit's own SDK. On stdin comes one line of JSON (``url``, ``ada`` and ``bob``: access tokens,
``relay_only``), then a line per question; for each comes a line of JSON. The end of stdin ends the call.

A gap is a silence longer than SHORTEST_GAP_S: the length of the silent frames between two in which the tone is audible,
or, where a new stream has begun or no frame has come at all, the time that went by. So a machine too busy to run this
program in time makes no gap of its own. A decoder hides the loss of single packets: a gap in the network is up to a
tenth of a second longer than the one heard.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from array import array
from dataclasses import dataclass, field
from typing import Any

from livekit import rtc

RATE_HZ, FRAME_SAMPLES, TONE_HZ, AMPLITUDE = 48_000, 480, 400, 8_000
AUDIBLE = AMPLITUDE // 8  # of the loudest sample in a frame
SHORTEST_GAP_S = 0.1
MISSED_S = 1.0  # a stream has a frame every 10 ms
JOIN_S = 30


@dataclass
class Ear:
    """Listens for the tone: ``gaps`` are seconds of silence, ``heard_s`` seconds of tone."""

    heard_s: float = 0.0
    gaps: list[float] = field(default_factory=list)
    last: float | None = None  # when a frame came
    quiet_s: float = 0.0
    is_new_stream: bool = False

    def hear(self, frame: rtc.AudioFrame) -> None:
        length_s = frame.samples_per_channel / frame.sample_rate
        self.quiet_s, self.last, self.is_new_stream = self.silent_s, time.monotonic(), False
        if max(frame.data) < AUDIBLE:
            self.quiet_s += length_s
            return
        if self.heard_s and self.quiet_s > SHORTEST_GAP_S:
            self.gaps.append(round(self.quiet_s, 2))
        self.quiet_s = 0.0
        self.heard_s += length_s

    @property
    def silent_s(self) -> float:
        """The length of the silence now."""
        without_frames_s = time.monotonic() - self.last if self.last is not None else 0.0
        is_counted = self.is_new_stream or without_frames_s > MISSED_S
        return self.quiet_s + (without_frames_s if is_counted else 0.0)


@dataclass
class Fate:
    """What became of the two connections, as the SDK tells."""

    reconnects: int = 0
    ended: list[str] = field(default_factory=list)

    def watch(self, name: str, room: rtc.Room) -> None:
        room.on("reconnecting", self._count)
        room.on("disconnected", lambda reason: self.ended.append(f"{name}: {reason}"))

    def _count(self, *_: Any) -> None:
        self.reconnects += 1


async def join(url: str, token: str, options: rtc.RoomOptions, room: rtc.Room) -> None:
    await asyncio.wait_for(room.connect(url, token, options), JOIN_S)


async def publish(room: rtc.Room) -> None:
    """Publish the tone, until cancelled."""
    source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=200)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
    await room.local_participant.publish_track(track, options)
    wave = array("h", (round(AMPLITUDE * math.sin(2 * math.pi * TONE_HZ * n / RATE_HZ)) for n in range(FRAME_SAMPLES)))
    while True:
        await source.capture_frame(rtc.AudioFrame(wave.tobytes(), RATE_HZ, 1, FRAME_SAMPLES))


async def listen(track: rtc.Track, ear: Ear) -> None:
    """Listen to a track to its end."""
    stream = rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1)
    async for event in stream:
        ear.hear(event.frame)
    ear.is_new_stream = True
    await stream.aclose()


async def main() -> None:
    loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    wanted = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    ear, fate = Ear(), Fate()
    kind = rtc.IceTransportType.TRANSPORT_RELAY if wanted["relay_only"] else rtc.IceTransportType.TRANSPORT_ALL
    options = rtc.RoomOptions(rtc_config=rtc.RtcConfiguration(ice_transport_type=kind))
    ada, bob = rtc.Room(), rtc.Room()

    def on_track(track: rtc.Track, *_: Any) -> None:
        tasks.add(loop.create_task(listen(track, ear)))

    bob.on("track_subscribed", on_track)
    for name, room in (("bob", bob), ("ada", ada)):
        await join(wanted["url"], wanted[name], options, room)
        fate.watch(name, room)
    tasks.add(loop.create_task(publish(ada)))
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        told = {"heard_s": round(ear.heard_s, 2), "gaps": ear.gaps, "silent_s": round(ear.silent_s, 2)}
        is_connected = all(room.connection_state == rtc.ConnectionState.CONN_CONNECTED for room in (ada, bob))
        told.update(reconnects=fate.reconnects, is_connected=is_connected, ended=fate.ended)
        print(json.dumps(told), flush=True)
        if line.strip() == "reset":
            ear.gaps, fate.reconnects = [], 0
    for task in tasks:
        task.cancel()
    await asyncio.gather(ada.disconnect(), bob.disconnect(), return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
