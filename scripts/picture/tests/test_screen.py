"""The emulator: what pyte lacks and pictures need."""

import unittest

import pyte

from picture.screen import Run, Screen, Style


def played(text, columns=20, lines=4):
    screen = Screen(columns, lines)
    pyte.Stream(screen).feed(text)
    return screen


class Screens(unittest.TestCase):
    def test_a_program_on_the_alternate_screen_leaves_the_primary_one_as_it_was(self):
        """Promise: `status --watch` does not overwrite what was there before, in a picture as on a terminal."""
        for mode in ("1049", "1047", "47"):
            before = "$ one\r\n\x1b[31mred\x1b[0m\r\n$ two\r\n"
            during = played(f"{before}\x1b[?{mode}h\x1b[H\x1b[2J\x1b[?25lwatched")
            self.assertEqual(during.view().text(), "watched")
            self.assertIsNone(during.view().cursor)
            after = played(f"{before}\x1b[?{mode}h\x1b[H\x1b[2Jwatched\r\nmore\x1b[?{mode}l")
            self.assertEqual(after.view(), played(before).view())

    def test_leaving_an_alternate_screen_that_was_never_entered_changes_nothing(self):
        self.assertEqual(played("a\x1b[?1049lb").view(), played("ab").view())

    def test_faint_text_is_told_from_colors_with_a_2(self):
        """Promise: SGR 2 is faint, but a 2 within a color is part of the color."""
        (runs,) = played("\x1b[2mfaint\x1b[22m \x1b[38;2;1;2;3mx\x1b[38;5;2my").view().rows[:1]
        self.assertEqual(runs[0], Run(0, 5, "faint", Style(faint=True)))
        self.assertEqual([run.style for run in runs[1:]], [Style(color="010203"), Style(color="00cd00")])

    def test_reverse_text_swaps_its_colors(self):
        (run,) = played("\x1b[7;31m x \x1b[0m").view().rows[0]
        self.assertEqual(run, Run(0, 3, " x ", Style(color="bg", background="red")))

    def test_blanks_at_the_end_are_not_drawn(self):
        view = played("  two  words   \r\n\x1b[32m   \x1b[0m").view()
        self.assertEqual(view.rows[0], (Run(2, 10, "two  words", Style()),))
        self.assertEqual(view.rows[1], ())
        self.assertEqual(view.text(), "  two  words")

    def test_wide_characters_take_two_cells(self):
        self.assertEqual(played("a漢b").view().rows[0][0].width, 4)
