"use strict";
const sliders = document.querySelectorAll(".pair input");

function show(slider) {
  const scan = Number(slider.value);
  slider.parentElement.style.setProperty("--split", scan + "%");
  slider.setAttribute("aria-valuetext", `${scan} percent scan, ${100 - scan} percent colour`);
}

for (const slider of sliders) {
  slider.addEventListener("input", () => {
    slider.parentElement.classList.remove("sweep");
    show(slider);
  });
}

const choice = document.querySelector(".switch");
choice.hidden = sliders.length < 2;
choice.addEventListener("click", (event) => {
  if (!event.target.dataset.scan) return;
  for (const slider of sliders) {
    slider.value = event.target.dataset.scan;
    slider.parentElement.classList.add("sweep");
    show(slider);
  }
});
