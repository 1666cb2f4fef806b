// Parts of a page that are shown anew while a job goes on; times in the reader's own zone; forms that ask first.
const EVERY = 2500;

function showTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    time.title = time.dateTime;
    time.textContent = moment.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }
}

async function refresh(part) {
  // Not under somebody's hands: what has the focus, or is open, stays as it is until they have left it.
  if (document.hidden || part.contains(document.activeElement) || part.querySelector("details[open]")) return;
  try {
    const answer = await fetch(part.dataset.live, { headers: { accept: "text/html" } });
    if (answer.ok) {
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      const listed = part.querySelector("[data-listing]") && !parsed.querySelector("[data-listing]");
      part.replaceChildren(...parsed.body.childNodes);
      showTimes(part);
      if (listed) location.reload(); // the rest of the page has its scans now
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
