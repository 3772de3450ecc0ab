"""What `scripts/pictures` does once the emulator is installed."""

import argparse
import sys
from pathlib import Path

from . import film, gallery, stage, terminal_svg, timeline, timeline_svg
from .scenes import SCENES
from .session import Session
from .theme import THEMES

PROJECT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = PROJECT / "docs" / "pictures"
CHECKED = PROJECT / "target" / "pictures"
WIDTHS = (40, 80, 200)
# The session and the width of which the documents have pictures.
PUBLISHED = ("run", 80)
HOST = "laptop"


def main():
    names = [scene.name for scene in SCENES] + ["timeline"]
    parser = argparse.ArgumentParser(prog="scripts/pictures")
    parser.add_argument("--text", action="store_true", help="print the final screens")
    parser.add_argument("--png", action="store_true", help="PNG files of the still pictures, too")
    parser.add_argument("binary", type=Path, help="the program")
    parser.add_argument("name", nargs="*", help=f"draw only these, only in target/pictures: {', '.join(names)}")
    options = parser.parse_intermixed_args()
    if not options.binary.is_file():
        sys.exit(f"pictures: {options.binary} is not there: type 'make build' first")
    if not set(options.name) <= set(names):
        parser.error(f"a picture's name is one of {', '.join(names)}")
    stage.check()
    CHECKED.mkdir(parents=True, exist_ok=True)
    publish = not options.name
    for scene in SCENES:
        if publish or scene.name in options.name:
            for columns in WIDTHS:
                draw(scene, columns, options.binary.resolve(), publish, options.text)
    if publish or "timeline" in options.name:
        draw_timeline(options.binary.resolve(), publish)
    gallery.write(CHECKED, png=options.png)
    print(f"pictures: see {CHECKED}/index.html")


def draw(scene, columns, binary, publish, text):
    name = f"{scene.name}-{columns}"
    with Session(binary, HOST, scene.setup, columns, scene.rows) as session:
        for step in scene.steps:
            session.run(*step)
    frames = film.frames(session.events, columns, session.rows)
    rows = film.height(frames)
    write(CHECKED / f"{name}.cast", session.cast())
    write(CHECKED / f"{name}.txt", "".join(f"--- {frame.at:.2f} s\n{frame.view.text()}\n" for frame in frames))
    stills = {"end": frames[-1]}
    if scene.moment:
        stills["moment"] = film.moment(frames, scene.moment)
    for theme in THEMES:
        picture = terminal_svg.animated(frames, rows, columns, theme, scene.title, scene.description)
        write(CHECKED / f"{name}-{theme.name}.svg", picture)
        for kind, frame in stills.items():
            view = terminal_svg.still(frame.view, rows, columns, theme, scene.title, scene.description)
            write(CHECKED / f"{name}-{theme.name}-{kind}.svg", view)
        if publish and (scene.name, columns) == PUBLISHED:
            write(DOCUMENTS / f"{scene.name}{theme.suffix}.svg", picture)
    print(f"pictures: {name}: {len(frames)} frames, {film.length(frames):.1f} s, {len(picture) // 1000} kB")
    if text:
        print(frames[-1].view.text())


def draw_timeline(binary, publish):
    recorded = timeline.record(binary, PROJECT)
    for theme in THEMES:
        picture = timeline_svg.picture(recorded, theme)
        write(CHECKED / f"timeline-{theme.name}-end.svg", picture)
        if publish:
            write(DOCUMENTS / f"timeline{theme.suffix}.svg", picture)
    print(f"pictures: timeline: {len(recorded.boxes)} attempts, {len(picture) // 1000} kB")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


main()
