// Keys of the review. Each key presses a button of the page or follows a link.
const keys = { a: "[data-key=a]", r: "[data-key=r]", d: "[data-key=d]", z: "[data-key=z]", ArrowLeft: "[data-key=left]",
  ArrowRight: "[data-key=right]", n: "[data-key=n]" };

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=range], [type=checkbox]), textarea, select, canvas");
  if (event.key === "Escape" && typing) typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  // The arrows move a slider that has the focus.
  if (event.target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
  const control = keys[event.key] && document.querySelector(keys[event.key]);
  if (!control || control.closest("[hidden]")) return;
  event.preventDefault();
  if (control.matches("textarea, summary")) {
    control.focus();
    if (control.matches("summary")) control.click();
  } else {
    control.click();
  }
});

for (const link of document.querySelectorAll('a[href^="#"][data-key]')) {
  link.addEventListener("click", () => {
    const part = document.querySelector(link.hash);
    part.open = true;
    part.querySelector("select, input:not([type=hidden]), button")?.focus();
  });
}

// The next pictures are loaded before somebody looks at them.
for (const link of document.querySelectorAll("[data-ahead]")) {
  for (const address of link.dataset.ahead.split(" ")) new Image().src = address;
}
