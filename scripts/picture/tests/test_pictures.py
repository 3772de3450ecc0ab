"""From recordings and timelines to files: times, and what the files consist of."""

import pathlib
import re
import unittest
import xml.etree.ElementTree as ElementTree

from picture import film, terminal_svg, theme, timeline, timeline_svg

SVG = "{http://www.w3.org/2000/svg}"
EVENTS = [
    (0.0, "$ "),
    (0.5, "x"),
    (0.6, "\r\nfirst <&> \x1b[31mred\x1b[0m"),
    (0.7, "\r\x1b[2K"),
    (0.72, "second"),
    (60.0, "\r\n$ "),
]


def text_of(element):
    return "".join(element.itertext())


class Films(unittest.TestCase):
    def test_an_erased_line_that_is_written_again_is_one_frame(self):
        """Promise: a live line does not flicker in a picture."""
        found = film.frames(EVENTS, 40, 5)
        last_lines = [frame.view.text().splitlines()[-1] for frame in found]
        self.assertEqual(last_lines, ["$", "$ x", "first <&> red", "second", "$"])

    def test_idle_time_is_shortened_and_the_rest_is_not(self):
        times = [frame.at for frame in film.frames(EVENTS, 40, 5)]
        for at, wanted in zip(times, [0.0, 0.5, 0.6, 0.7, 0.7 + film.IDLE]):
            self.assertAlmostEqual(at, wanted)

    def test_no_picture_takes_longer_than_the_limit(self):
        found = film.frames([(float(at), str(at)) for at in range(100)], 40, 50)
        self.assertAlmostEqual(film.length(found), film.LENGTH)

    def test_a_picture_is_as_high_as_what_is_used(self):
        self.assertEqual(film.height(film.frames(EVENTS, 40, 50)), 3)


class Terminals(unittest.TestCase):
    def test_a_row_that_stays_is_drawn_once(self):
        """Promise: only what changes is in a picture more than once."""
        root = self.picture(theme.LIGHT)
        texts = [text_of(element) for element in root.iter(f"{SVG}text")]
        self.assertEqual(sorted(texts), ["$", "$", "$ x", "first <&>", "red", "second"])

    def test_each_group_has_its_time(self):
        root = self.picture(theme.LIGHT)
        style = text_of(root.find(f"{SVG}style"))
        groups = [group.get("class").split()[-1] for group in root.iter(f"{SVG}g")]
        self.assertTrue(groups)
        for name in groups:
            (frames,) = re.findall(rf"@keyframes {name}\{{(.*?\}})\}}", style)
            times = [float(time) for time in re.findall(r"([\d.]+)%", frames)]
            self.assertEqual(len(times), 2)
            self.assertLess(times[0], times[1])
            self.assertLess(times[1], 100)

    def test_without_motion_the_last_frame_is_there(self):
        """Promise: a reader who wants no motion, or a viewer that has none, sees the end."""
        shown = []
        for group in self.picture(theme.DARK).iter(f"{SVG}g"):
            if "x" not in group.get("class").split():
                shown += [text_of(element) for element in group.iter(f"{SVG}text")]
        self.assertEqual(shown, ["$ x", "second", "$"])

    def test_a_still_picture_does_not_move(self):
        view = film.frames(EVENTS, 40, 5)[2].view
        picture = terminal_svg.still(view, 3, 40, theme.LIGHT, "Title", "Description")
        self.assertNotIn("animation", picture)
        self.assertIn("first &lt;&amp;&gt;</text>", picture)
        self.assertIn(theme.LIGHT.color("red"), picture)

    def picture(self, colors):
        picture = terminal_svg.animated(film.frames(EVENTS, 40, 5), 3, 40, colors, "Title", "Description")
        return ElementTree.fromstring(picture)


class Themes(unittest.TestCase):
    def test_every_color_of_a_theme_can_be_read(self):
        for colors in theme.THEMES:
            for name in colors.colors:
                if name != "bg" and not (name == "black" and colors is theme.DARK):
                    ratio = theme.contrast(colors.color(name), colors.color("bg"))
                    self.assertGreaterEqual(ratio, 4.5, f"{name} on a {colors.name} page")

    def test_contrast_is_that_of_wcag(self):
        self.assertAlmostEqual(theme.contrast("#000000", "#ffffff"), 21)
        self.assertAlmostEqual(theme.contrast("#777777", "#ffffff"), 4.48, places=2)


class Timelines(unittest.TestCase):
    EVENTS = [
        {"name": "process_name", "ph": "M", "pid": 0, "tid": 100000, "args": {"name": "rank 0 on a<b"}},
        {"name": "thread_name", "ph": "M", "pid": 0, "tid": 100000, "args": {"name": "slot 0"}},
        *(
            {
                "name": "command", "ph": "X", "cat": cat, "pid": 0, "tid": 100000 + slot, "ts": start * 1e6,
                "dur": seconds * 1e6, "args": {"id": task, "attempt": 1, "slot": slot},
            }
            for task, cat, slot, start, seconds in [
                (0, "task", 0, 5.0, 1.0),
                (1, "task,failed", 1, 5.0, 2.0),
                (2, "task,failed", 1, 7.0, 1e-6),
                (3, "task,interrupted", 0, 6.0, 3.0),
            ]
        ),
    ]

    def test_every_attempt_is_a_box_that_shows_how_it_ended(self):
        found = timeline.read(self.EVENTS)
        ends = [(box.task, box.how) for box in found.boxes]
        self.assertEqual(ends, [(0, "finished"), (3, "interrupted"), (1, "failed"), (2, "failed")])
        root = ElementTree.fromstring(timeline_svg.picture(found, theme.DARK))
        boxes = [box for box in root.iter(f"{SVG}rect") if box.get("class") in timeline_svg.LEGEND]
        # One more of each kind in the legend.
        self.assertEqual(len(boxes), len(ends) + 3)
        texts = [text_of(element) for element in root.iter(f"{SVG}text")]
        for text in ("rank 0 on a<b", "slot 1", "0 s", "4 s"):
            self.assertIn(text, texts)

    def test_the_launcher_is_looked_up_where_make_does(self):
        self.assertIsInstance(timeline.launcher(pathlib.Path(__file__).resolve().parents[3]), str)

    def test_the_time_between_two_runs_is_not_drawn(self):
        boxes = [timeline.Box(0, 0, 0, 10.0, 12.0, "finished"), timeline.Box(1, 0, 0, 100.0, 101.0, "finished")]
        axis = timeline_svg.Axis(boxes)
        self.assertEqual(axis.runs, [(10.0, 12.0), (100.0, 101.0)])
        self.assertAlmostEqual(axis.seconds, 3.0)
        self.assertAlmostEqual(axis.place(10.0), timeline_svg.LEFT)
        self.assertAlmostEqual(axis.place(100.0) - axis.place(12.0), timeline_svg.BREAK)
        self.assertAlmostEqual(axis.place(101.0), timeline_svg.WIDTH - timeline_svg.RIGHT)
