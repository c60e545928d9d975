"""The page in a real browser: keys, clicks, what is shown, and what another site in the same browser can do."""

import http.server
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from asap.core.manifest import Manifest
from asap.stores.pairs import PairStore, PairWriter
from asap.stores.reviews import read_reviews
from tests.review.browser import needs_browser, opened
from tests.review.samples import write_decision
from tests.review.server import Served, served
from tests.stores.samples import chunk_pairs, pair

pytestmark = needs_browser
PATIENCE = 60
"""Seconds until something that should happen at once is given up; a busy machine may need many."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with opened(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen pairs of 32 x 32."""
    root = tmp_path_factory.mktemp("browser") / "pairs"
    with PairWriter(root, {"size": 32}, 8) as writer:
        for number in range(2):
            writer.write_chunk(number, chunk_pairs(number, 8), Counter(), 0.5)
        writer.finish(Manifest(kind="pairs"))
    return root


class Page:
    """What a person does at the page, and what they see."""

    def __init__(self, browser: Chrome, server: Served) -> None:
        self.browser = browser
        browser.get(server.address)
        self.settle()

    def settle(self) -> None:
        """Wait until a pair is shown and nothing is being saved."""
        script = "const d = document.body.dataset; return 'begun' in d && !('loading' in d);"
        WebDriverWait(self.browser, PATIENCE).until(lambda browser: browser.execute_script(script))

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def text(self, name: str) -> str:
        return self.browser.find_element(By.ID, name).text

    def click(self, name: str) -> None:
        self.browser.find_element(By.ID, name).click()

    def decide(self, *keys: str) -> str:
        """Press keys of which the last saves; returns what is shown as saved."""
        return self.saved(lambda: self.press(*keys))

    def saved(self, action: object) -> str:
        self.browser.execute_script("document.getElementById('saved').textContent = '';")
        assert callable(action)
        action()
        WebDriverWait(self.browser, PATIENCE).until(lambda _: self.text("saved"))
        self.settle()
        return self.text("saved")

    def pressed(self, name: str) -> bool:
        return self.browser.find_element(By.ID, name).get_attribute("aria-pressed") == "true"

    def wait(self, script: str) -> None:
        WebDriverWait(self.browser, PATIENCE).until(lambda browser: browser.execute_script(f"return {script};"))


def rows(pairs: Path, reviewer: str) -> list[tuple[str, str, str]]:
    """(action, decision, error) of each line of a journal."""
    found = read_reviews(pairs)[reviewer]
    return [(row["action"], row.get("decision", ""), row.get("error", "")) for row in found]


def test_keys_decide_and_undo(browser: Chrome, pairs: Path) -> None:
    uids = PairStore.open(pairs).column("uid")
    with served(pairs, "--reviewer", "keys") as server:
        page = Page(browser, server)
        assert page.text("place") == f"1 of {len(uids)}"
        assert page.decide("1", "a").startswith("Saved: accept · ")
        assert rows(pairs, "keys") == [("decide", "accept", "extra")], "on disk when it is shown as saved"
        page.decide("v", "p", "r")
        page.decide("l", "l", "u")
        assert page.text("counts") == f"3 of {len(uids)} · 1 accepted · 1 rejected · 1 unsure"
        assert page.text("place") == f"4 of {len(uids)}"
        page.decide(Keys.BACKSPACE)
        assert (page.text("place"), page.pressed("unsure")) == (f"3 of {len(uids)}", False)
        ActionChains(browser).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
        page.wait("document.getElementById('counts').textContent.startsWith('1 of')")
        page.settle()
        assert page.text("place") == f"2 of {len(uids)}"
        assert rows(pairs, "keys")[1:] == [
            ("decide", "reject", "looks_pasted"),
            ("decide", "unsure", ""),
            ("undo", "", ""),
            ("undo", "", ""),
        ]
        page.press(Keys.ARROW_LEFT)
        page.settle()
        assert page.pressed("accept")
        assert "accept · extra" in page.text("facts")
        lines = read_reviews(pairs)["keys"]
        assert [line["uid"] for line in lines] == [uids[0], uids[1], uids[2], uids[2], uids[1]]
        assert all(0 < line["seconds"] < 60 for line in lines if line["action"] == "decide")


def test_buttons_do_the_same_and_space_does_not_press_them_again(browser: Chrome, pairs: Path) -> None:
    with served(pairs, "--reviewer", "clicks") as server:
        page = Page(browser, server)
        browser.find_element(By.CSS_SELECTOR, "[data-error='natural']").click()
        assert page.saved(lambda: page.click("reject")).startswith("Saved: reject")
        page.press(Keys.SPACE)
        assert page.browser.find_element(By.ID, "views").get_attribute("data-mode") == "one"
        page.saved(lambda: page.click("accept"))
        page.saved(lambda: page.click("undo"))
        assert rows(pairs, "clicks") == [("decide", "reject", "natural"), ("decide", "accept", ""), ("undo", "", "")]
        page.click("next")
        page.settle()
        page.click("previous")
        page.settle()
        assert page.text("place").startswith("2 of")
        browser.find_element(By.ID, "accept").send_keys(Keys.ENTER)
        page.wait("document.getElementById('place').textContent.startsWith('3 of')")
        page.settle()
        assert rows(pairs, "clicks")[-1] == ("decide", "accept", "")


def test_ways_of_looking(browser: Chrome, pairs: Path) -> None:
    shown = "[...document.querySelectorAll('figure')].map((f) => getComputedStyle(f).visibility)"
    with served(pairs, "--reviewer", "looks") as server:
        page = Page(browser, server)
        assert browser.execute_script(f"return {shown}") == ["visible", "visible"]
        boxes = "[...document.querySelectorAll('.view')].map((v) => Math.round(v.getBoundingClientRect().left))"
        assert len(set(browser.execute_script(f"return {boxes}"))) == 2
        page.press(" ")
        assert browser.execute_script(f"return {shown}") == ["visible", "hidden"]
        assert len(set(browser.execute_script(f"return {boxes}"))) == 1, "at the same place"
        page.press(" ")
        assert browser.execute_script(f"return {shown}") == ["hidden", "visible"]
        page.press("f")
        assert page.pressed("flicker")
        for side in (0, 1, 0):
            page.wait(f"{shown}[{side}] === 'visible'")
        page.press(Keys.ESCAPE)
        assert not page.pressed("flicker")
        assert browser.execute_script(f"return {shown}") == ["visible", "visible"]

        rim = "getComputedStyle(document.querySelector('canvas')).visibility"
        assert browser.execute_script(f"return {rim}") == "hidden"
        page.press("m")
        assert browser.execute_script(f"return {rim}") == "visible"
        colours = """const c = document.querySelector('canvas'), d = c.getContext('2d').getImageData(0, 0, 32, 32).data;
            const at = (x, y) => [...d.slice(4 * (32 * y + x), 4 * (32 * y + x) + 4)];
            return [at(6, 4), at(19, 11), at(5, 4), at(20, 11), at(10, 3), at(0, 0)];"""
        pink, clear = [255, 64, 160, 255], [0, 0, 0, 0]
        assert browser.execute_script(colours)[:5] == [clear, clear, pink, pink, pink]
        assert browser.execute_script(colours)[5][:3] == [0, 0, 0]

        plane = "document.querySelector('.plane').getBoundingClientRect().width"
        drawn = "getComputedStyle(document.querySelector('.plane img')).imageRendering"
        whole = browser.execute_script(f"return {plane}")
        assert browser.execute_script(f"return {drawn}") == "auto"
        page.press("z")
        assert page.pressed("zoom")
        assert browser.execute_script(f"return {drawn}") == "pixelated"
        page.press("z")
        assert browser.execute_script(f"return {plane}") == whole


def test_a_zoom_shows_the_box_in_the_middle(browser: Chrome, tmp_path: Path) -> None:
    root = tmp_path / "large"
    with PairWriter(root, {"size": 256}, 8) as writer:
        writer.write_chunk(0, [pair(0, size=256)], {}, 0.1)
        writer.finish(Manifest(kind="pairs"))
    with served(root, "--reviewer", "zoom") as server:
        page = Page(browser, server)
        page.press("z")
        view, plane = (
            browser.execute_script(f"return document.querySelector('{name}').getBoundingClientRect().toJSON()")
            for name in (".view", ".plane")
        )
        scale = plane["width"] / 256
        assert scale > 10, "32 pixels fill the view"
        for at, x, y in ((0, 6, 4), (1, 20, 12)):
            left, top = plane["left"] + x * scale, plane["top"] + y * scale
            assert view["left"] - 1 <= left <= view["right"] + 1, at
            assert view["top"] - 1 <= top <= view["bottom"] + 1, at


def test_filters_jumps_and_progress(browser: Chrome, pairs: Path) -> None:
    store = PairStore.open(pairs)
    splits, uids, kinds = store.column("split"), store.column("uid"), store.column("kind")
    with served(pairs, "--reviewer", "filters") as server:
        page = Page(browser, server)
        page.decide("r")
        page.click("filters")

        def choose(name: str, value: str) -> None:
            Select(browser.find_element(By.CSS_SELECTOR, f"[data-filter='{name}']")).select_by_value(value)
            page.settle()

        names = [item.get_attribute("data-filter") for item in browser.find_elements(By.CSS_SELECTOR, "[data-filter]")]
        assert names == ["part", "operation", "severity", "category", "kind", "split", "decision"]
        choose("split", "val")
        assert page.text("place").endswith(f"of {splits.count('val')}")
        assert "val" in page.text("facts")
        choose("split", "")
        choose("kind", "null_pose")
        assert page.text("place").endswith(f"of {kinds.count('null_pose')}")
        choose("kind", "")
        choose("decision", "reject")
        assert page.text("place") == "1 of 1"
        assert uids[0] in page.text("facts")
        choose("decision", "unsure")
        assert page.text("place") == "none"
        assert page.text("empty") == "No pair passes these filters."
        assert not browser.find_element(By.ID, "accept").is_enabled()
        choose("decision", "undecided")
        assert page.text("place") == f"1 of {len(uids) - 1}"
        choose("decision", "")
        browser.execute_script("document.activeElement.blur()")
        for wanted, place in (("5", 5), (uids[8], 9), (uids[11][:6], 12)):
            page.press("g", wanted, Keys.ENTER)
            page.settle()
            assert page.text("place") == f"{place} of {len(uids)}"
        page.press("g", "999", Keys.ENTER)
        assert page.text("missing") == "No such pair in this list."
        page.press(Keys.ESCAPE)
        assert browser.execute_script("return document.getElementById('progress').value") == 1


def test_the_end_of_the_list_is_said(browser: Chrome, pairs: Path) -> None:
    count = len(PairStore.open(pairs))
    with served(pairs, "--reviewer", "end") as server:
        page = Page(browser, server)
        found = [page.decide("a") for _ in range(count)]
        assert found[-1].endswith("all decided")
        assert not any("decided" in text for text in found[:-1])
        assert page.text("counts").startswith(f"{count} of {count} · {count} accepted")


def test_the_next_images_are_fetched_ahead(browser: Chrome, pairs: Path) -> None:
    uids = PairStore.open(pairs).column("uid")
    with served(pairs, "--reviewer", "ahead") as server:
        page = Page(browser, server)
        names = "performance.getEntriesByType('resource').map((entry) => entry.name)"
        for uid in uids[:5]:
            for side in ("left", "right", "mask"):
                page.wait(f"{names}.some((name) => name.includes('/images/{uid}/{side}?'))")
        assert uids[7] not in str(browser.execute_script(f"return {names}"))


def test_every_button_has_a_name_and_help_lists_every_key(browser: Chrome, pairs: Path) -> None:
    with served(pairs, "--reviewer", "names") as server:
        page = Page(browser, server)
        buttons = browser.find_elements(By.TAG_NAME, "button")
        visible = [button for button in buttons if button.is_displayed()]
        assert len(visible) > 30
        assert all(button.accessible_name.strip() for button in visible)
        assert {image.get_attribute("alt") for image in browser.find_elements(By.TAG_NAME, "img")} == {
            "chosen image of pair 1",
            "rejected image of pair 1",
        }
        page.press("?")
        help_text = page.text("keys")
        assert "Undo the last decision" in help_text
        assert "looks pasted" in help_text
        page.press("a", Keys.ESCAPE)
        assert page.text("counts").startswith("0 of"), "keys do nothing behind the help"
        assert browser.current_url == f"http://127.0.0.1:{server.port}/", "the token does not stay in the address"
        entries = browser.get_log("browser")  # type: ignore[no-untyped-call]
        assert [entry for entry in entries if entry["level"] == "SEVERE"] == []


def test_a_blind_reviewer_sees_no_metadata(browser: Chrome, pairs: Path) -> None:
    uids = PairStore.open(pairs).column("uid")
    write_decision(pairs, "sighted", 0, "reject", "leak")
    with served(pairs, "--reviewer", "blind", "--blind") as server:
        page = Page(browser, server)
        assert page.text("facts").split() == ["id", uids[0]]
        shown = browser.find_element(By.TAG_NAME, "main").text
        for word in ("chosen", "rejected", "hand", "defect", "severity", "a person, number", "sighted"):
            assert word not in shown, word
        captions = [item.text for item in browser.find_elements(By.TAG_NAME, "figcaption")]
        assert captions == ["left", "right"]
        page.decide("1", "a")
        assert read_reviews(pairs)["blind"][0]["blind"] is True


def test_the_decisions_of_others_stand_beside_the_pair(browser: Chrome, pairs: Path) -> None:
    write_decision(pairs, "other", 0, "accept", "extra", blind=True)
    with served(pairs, "--reviewer", "looker") as server:
        assert "other\naccept · extra" in Page(browser, server).text("facts")


def test_it_fits_a_phone_and_follows_the_colours_of_the_system(browser: Chrome, pairs: Path) -> None:
    device = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    with served(pairs, "--reviewer", "phone") as server:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
        try:
            page = Page(browser, server)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
            for name in ("accept", "reject", "unsure", "undo", "zoom"):
                box = browser.find_element(By.ID, name).rect
                assert box["height"] >= 44, name
            assert browser.find_element(By.ID, "accept").rect["y"] < 740, "in reach without scrolling"
            back = "getComputedStyle(document.body).backgroundColor"
            colours = []
            for scheme in ("light", "dark"):
                feature = {"name": "prefers-color-scheme", "value": scheme}
                browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
                colours.append(browser.execute_script(f"return {back}"))
            assert colours == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]
            page.saved(lambda: page.click("accept"))
        finally:
            browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_what_was_shown_as_saved_survives_a_kill(browser: Chrome, pairs: Path) -> None:
    with served(pairs, "--reviewer", "killed") as server:
        page = Page(browser, server)
        for keys in (("2", "a"), ("r",), ("u",)):
            assert page.decide(*keys).startswith("Saved: ")
        assert page.decide(Keys.BACKSPACE).startswith("Saved: undo")
        counts = page.text("counts")
        server.kill()
        page.press("a")
        page.wait("!document.getElementById('fault').hidden")
        assert page.text("fault").startswith("Not saved: the server does not answer")
        assert page.text("saved") == ""
        assert (page.text("counts"), page.text("place")[:4]) == (counts, "3 of")
    with served(pairs, "--reviewer", "killed") as server:
        page = Page(browser, server)
        assert page.text("counts") == counts
        assert page.text("place").startswith("3 of")
        page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
        page.settle()
        assert "accept · missing" in page.text("facts")
        page.decide(Keys.BACKSPACE)
        assert rows(pairs, "killed") == [
            ("decide", "accept", "missing"),
            ("decide", "reject", ""),
            ("decide", "unsure", ""),
            ("undo", "", ""),
            ("undo", "", ""),
        ]


ATTACK = """<!doctype html><title>evil</title><body><script type="module">
const target = %s, found = {};
const body = JSON.stringify({uid: %s, decision: "accept", error: "", seconds: 1});
for (const [name, options] of Object.entries({
  plain: {method: "POST", mode: "no-cors", credentials: "include", body},
  json: {method: "POST", credentials: "include", body, headers: {"Content-Type": "application/json"}},
  token: {method: "POST", credentials: "include", body, headers: {"X-Asap-Token": "guess"}},
  read: {credentials: "include"},
})) {
  try {
    const answer = await fetch(target + (name === "read" ? "/api/session" : "/api/decisions"), options);
    found[name] = answer.type + " " + answer.status;
  } catch (error) { found[name] = "refused"; }
}
found.image = await new Promise((done) => {
  const image = new Image();
  image.onload = () => done("shown"); image.onerror = () => done("refused");
  image.src = target + "/images/" + %s + "/left";
});
document.title = JSON.stringify(found);
</script>"""


def test_another_site_in_the_same_browser_can_neither_decide_nor_look(browser: Chrome, pairs: Path) -> None:
    """The site runs on another port of this machine, so the browser counts it as the same site and sends cookies."""
    uid = PairStore.open(pairs).column("uid")[0]
    with served(pairs, "--reviewer", "attacked") as server:
        Page(browser, server)
        target = f"http://127.0.0.1:{server.port}"
        html = (ATTACK % (json.dumps(target), json.dumps(uid), json.dumps(uid))).encode()

        class Evil(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(html)

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil) as evil:
            threading.Thread(target=evil.serve_forever, daemon=True).start()
            browser.get(f"http://127.0.0.1:{evil.server_port}/")
            WebDriverWait(browser, PATIENCE).until(lambda found: found.title.startswith("{"))
            found = json.loads(browser.title)
            evil.shutdown()
        assert found == {
            "plain": "refused",
            "json": "refused",
            "token": "refused",
            "read": "refused",
            "image": "refused",
        }
        assert server.ask("/api/session")["decisions"] == {}
        assert read_reviews(pairs)["attacked"] == []
