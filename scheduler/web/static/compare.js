// Before and after: with a slider, side by side, or in full resolution. A scan without an output has no slider.
import { openZoom } from "./zoom.js";

const box = document.querySelector(".viewer-box");
if (box?.querySelector(".modes")) {
  const modes = box.querySelector(".modes");
  const parts = { slider: box.querySelector(".frame"), both: box.querySelector(".both"), zoom: box.querySelector(".zoom") };
  const slider = box.querySelector(".frame input");
  let zoom = null;

  const split = () => {
    if (!slider) return;
    const scan = Number(slider.value);
    slider.parentElement.style.setProperty("--split", `${scan}%`);
    slider.setAttribute("aria-valuetext", `${scan} percent scan, ${100 - scan} percent colour`);
    zoom?.split(scan / 100);
  };
  const choose = (mode) => {
    for (const [name, part] of Object.entries(parts)) if (part) part.hidden = name !== mode;
    for (const button of modes.querySelectorAll("[data-mode]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    }
    if (mode === "zoom") {
      zoom ??= openZoom(parts.zoom);
      zoom.resize();
      split();
    }
    if (!slider) return;
    try {
      localStorage.setItem("photochrom-mode", mode);
    } catch {
      // A browser without local storage starts with the slider each time.
    }
  };

  slider?.addEventListener("input", split);
  modes.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.mode) choose(button.dataset.mode);
    if (button?.dataset.full !== undefined) {
      if (document.fullscreenElement) document.exitFullscreen();
      else box.requestFullscreen();
    }
  });
  document.addEventListener("fullscreenchange", () => zoom?.resize());
  modes.hidden = false;
  let kept = null;
  try {
    kept = localStorage.getItem("photochrom-mode");
  } catch {
    kept = null;
  }
  choose(kept === "both" || !slider ? "both" : "slider");
  split();
}
