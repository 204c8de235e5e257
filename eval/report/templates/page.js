"use strict";
// Filters the samples by what is typed; without this script all of them are shown.
const box = document.querySelector("#search");
if (box) {
  const found = document.querySelector("#found");
  const samples = [...document.querySelectorAll("details.sample")];
  const texts = samples.map(s => [...s.querySelectorAll(".prompt, .answer")].map(e => e.textContent).join("\n").toLowerCase());
  const opened = samples.map(s => s.open);
  box.parentElement.hidden = false;
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(w => w);
    let n = 0;
    samples.forEach((s, i) => {
      const hit = words.every(w => texts[i].includes(w));
      s.hidden = !hit;
      s.open = words.length ? hit : opened[i];
      n += hit;
    });
    found.textContent = words.length ? n + " of " + samples.length : "";
  });
}
