import re

import pytest
from django.conf import settings

SHEET = (settings.BASE_DIR / "flex/static/headroom/site.css").read_text()
GROUNDS = ("ground", "panel", "field")
TEXTS = ("text", "muted", "link", "alarm", "warning", "info")


def themes() -> dict[str, dict[str, str]]:
    """Colours by name; the sheet states each as ``light-dark(light, dark)``."""
    stated = re.findall(r"--(\w+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", SHEET)
    return {
        "light": {name: light for name, light, _ in stated},
        "dark": {name: dark for name, _, dark in stated},
    }


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


class TestContrast:
    def test_is_measured_as_published(self):
        assert contrast("#000000", "#ffffff") == pytest.approx(21)
        assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)

    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("ground", GROUNDS)
    @pytest.mark.parametrize("text", TEXTS)
    def test_of_text_is_enough_to_read(self, theme, ground, text):
        colours = themes()[theme]

        assert contrast(colours[text], colours[ground]) >= 4.5

    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("curve", ["text", "muted", "plan", "line"])
    def test_of_curves_is_enough_to_see(self, theme, curve):
        colours = themes()[theme]

        assert contrast(colours[curve], colours["field"]) >= 3
        if curve != "line":
            assert contrast(colours[curve], colours["area"]) >= 3


class TestStyleSheet:
    def test_loads_nothing_from_elsewhere(self):
        assert not re.findall(r"url\(|@import", SHEET)

    def test_uses_no_colour_but_the_named_ones(self):
        body = SHEET[SHEET.index("* { box-sizing") : SHEET.index("@media print")]

        assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", body)
