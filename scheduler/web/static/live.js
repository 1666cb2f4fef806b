// Parts of a page are loaded again while a job is running; times are in the reader's time zone; forms may ask first.
// While nothing can be loaded, the page says so and since when, and it tries again.
const EVERY = 2500;
const away = document.querySelector(".away");
let fresh = new Date();

function showAway(part, status) {
  part.classList.add("stale");
  const why = status === 503 ? "The job database can’t be reached" : "This page can’t be updated";
  const since = fresh.toLocaleTimeString([], { timeStyle: "medium" });
  away.textContent = `${why}. The figures are from ${since}; they are updated as soon as that is possible again.`;
}

// The page stays, because somebody may be typing in it.
function askToSignIn(part) {
  part.classList.add("stale");
  const link = document.createElement("a");
  link.href = `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in again";
  away.replaceChildren("You are no longer signed in. ", link, " to see new figures.");
}

function showFresh(part) {
  part.classList.remove("stale");
  fresh = new Date();
  if (!document.querySelector(".stale")) away.textContent = "";
}

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
    if (answer.redirected) {
      askToSignIn(part);
    } else if (answer.ok) {
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      const listed = part.querySelector("[data-listing]") && !parsed.querySelector("[data-listing]");
      part.replaceChildren(...parsed.body.childNodes);
      showTimes(part);
      if (listed) location.reload(); // the listing is complete, so the rest of the page can show its scans
      showFresh(part);
    } else {
      showAway(part, answer.status);
    }
  } catch {
    showAway(part, 0);
  }
}

// A page that the database was away for is loaded again when its address has another answer.
function loadAgain() {
  setTimeout(async () => {
    if (document.hidden) return loadAgain();
    const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
    answer?.body?.cancel(); // only the status counts
    if (answer && answer.status !== 503) location.reload();
    else loadAgain();
  }, EVERY);
}

function keepLive(part) {
  setTimeout(async () => {
    await refresh(part);
    keepLive(part);
  }, EVERY);
}

showTimes(document);
for (const part of document.querySelectorAll("[data-live]")) keepLive(part);
if (document.querySelector("[data-load-again]")) loadAgain();
document.addEventListener("submit", (event) => {
  const asked = event.submitter?.dataset.ask;
  if (asked && !confirm(asked)) event.preventDefault();
});
for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => form.requestSubmit());
}
