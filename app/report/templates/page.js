"use strict";
// Filters the samples by what is typed and, of several runs, by the one that is chosen;
// without this script all of them are shown.
const box = document.querySelector("#search");
if (box) {
  const found = document.querySelector("#found"), pick = document.querySelector("#of-run");
  const runOf = e => { const part = e.closest(".of-run"); return part ? part.dataset.run : ""; };
  const samples = [...document.querySelectorAll("details.sample")].map(s => ({
    element: s, opened: s.open, runs: [...s.querySelectorAll(".of-run")],
    texts: [...s.querySelectorAll(".prompt, .answer")].map(e => ({ run: runOf(e), text: e.textContent.toLowerCase() })),
  }));
  const show = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(w => w), run = pick ? pick.value : "";
    let n = 0;
    for (const s of samples) {
      const text = s.texts.filter(t => !run || !t.run || t.run === run).map(t => t.text).join("\n");
      const asked = run ? s.runs.some(e => e.dataset.run === run) : true, hit = asked ? words.every(w => text.includes(w)) : false;
      s.element.hidden = !hit;
      s.element.open = words.length ? hit : s.opened;
      for (const e of s.runs) e.hidden = run ? e.dataset.run !== run : false;
      n += hit;
    }
    found.textContent = words.length ? n + " of " + samples.length : "";
  };
  box.parentElement.hidden = false;
  box.addEventListener("input", show);
  if (pick) pick.addEventListener("change", show);
}
