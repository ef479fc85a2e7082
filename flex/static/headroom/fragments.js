// Parts of pages loaded by htmx. An answer that is not the part asked for (a log-in page, an error) never replaces it.
"use strict";

document.addEventListener("htmx:beforeSwap", (event) => {
  const xhr = event.detail.xhr;
  const asked = new URL(event.detail.pathInfo.finalRequestPath, location.href);
  const answered = new URL(xhr.responseURL, location.href);
  if (answered.pathname !== asked.pathname) {
    event.detail.shouldSwap = false; // led elsewhere: logged out, locked, or to be confirmed
    location.assign(location.href);
  }
});
