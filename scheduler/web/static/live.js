// Parts of a page are loaded again while a job is running; times are in the reader's time zone; forms may ask first.
const EVERY = 2500;

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    time.title = time.dateTime;
    time.textContent = moment.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

async function refresh(part) {
  // A part that somebody uses, because it has the focus or its details are open, stays as it is.
  if (document.hidden || part.contains(document.activeElement) || part.querySelector("details[open]")) return;
  try {
    const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" } });
    if (answer.ok) {
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      const listed = part.querySelector("[data-listing]") && !parsed.querySelector("[data-listing]");
      part.replaceChildren(...parsed.body.childNodes);
      showTimes(part);
      if (listed) location.reload(); // the listing is complete, so the rest of the page can show its scans
    }
    part.classList.toggle("stale", !answer.ok);
  } catch {
    part.classList.add("stale");
  }
}

function keepLive(part) {
  setTimeout(async () => {
    await refresh(part);
    keepLive(part);
  }, EVERY);
}

showTimes(document);
for (const part of document.querySelectorAll("[data-live]")) keepLive(part);
document.addEventListener("submit", (event) => {
  const asked = event.submitter?.dataset.ask;
  if (asked && !confirm(asked)) event.preventDefault();
});
for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => form.requestSubmit());
}
