// Says how old the page is, and when the site no longer answers: a dead server cannot say so itself.
"use strict";

(() => {
  const ASK_EVERY_MS = 5000;
  const SILENT_AFTER_MS = 10000;
  const STALE_AFTER_MS = 15 * 60000;
  const address = document.currentScript.dataset.pulse;
  const shownAt = Date.now();
  let heardAt = shownAt;

  const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB", { timeZone: "Europe/London", timeZoneName: "short" });

  const lasting = (ms) => {
    const minutes = Math.floor(ms / 60000);
    return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
  };

  const tell = (element, text) => {
    if (!element) return;
    if (element.textContent !== text) element.textContent = text; // said once, not every second
    element.hidden = !text;
  };

  const show = () => {
    const now = Date.now();
    const isStale = now - shownAt > STALE_AFTER_MS;
    tell(document.getElementById("shown-age"), isStale ? `STALE ${lasting(now - shownAt)} h` : "");
    const isSilent = now - heardAt > SILENT_AFTER_MS;
    const sentence = `▲ The site has not answered since ${clock(heardAt)}. What you see may be out of date.`;
    tell(document.getElementById("silent"), isSilent ? sentence : "");
  };

  const ask = async () => {
    try {
      const answer = await fetch(address, {
        cache: "no-store",
        headers: { "X-Headroom-Refresh": "1" }, // no sign that anybody is there
        signal: AbortSignal.timeout(ASK_EVERY_MS),
      });
      if (answer.ok) heardAt = Date.now();
    } catch {
      // No answer is what show() tells.
    }
  };

  setInterval(ask, ASK_EVERY_MS);
  setInterval(show, 1000);
})();
