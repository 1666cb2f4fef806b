// The grid: a picture under the pointer shows its grey scan, and many pictures can be chosen at once.
for (const link of document.querySelectorAll(".shot a[data-before]")) {
  const show = () => {
    if (link.querySelector(".over")) return;
    const before = new Image();
    before.alt = "";
    before.className = "over";
    before.addEventListener("load", () => before.classList.add("ready"));
    before.src = link.dataset.before;
    link.querySelector(".mount").append(before);
  };
  link.addEventListener("pointerenter", show);
  link.addEventListener("focus", show);
}

const bar = document.querySelector(".many");
if (bar) {
  const boxes = [...document.querySelectorAll(".pick input")];
  const count = bar.querySelector("output");
  let last = null;
  const choices = bar.querySelector("[data-choices]");
  const update = () => {
    const chosen = boxes.filter((box) => box.checked);
    bar.hidden = chosen.length === 0;
    count.textContent = chosen.length === 1 ? "1 picture chosen" : `${chosen.length} pictures chosen`;
    if (choices) choices.hidden = !chosen.every((box) => "two" in box.dataset);
  };
  for (const box of boxes) {
    box.addEventListener("click", (event) => {
      if (event.shiftKey && last) {
        const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
        for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
      }
      last = box;
      update();
    });
  }
  bar.querySelector("[data-all]").addEventListener("click", () => {
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
    update();
  });
  update();
}
