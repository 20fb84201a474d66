"use strict";
for (const viewer of document.querySelectorAll(".viewer")) {
  const cases = [...viewer.querySelectorAll(".case")];
  const position = viewer.querySelector(".position");
  const slider = viewer.querySelector("input[type=range]");
  let shown = 0;

  const show = (number) => {
    shown = (number + cases.length) % cases.length;
    cases.forEach((each, index) => each.classList.toggle("shown", index === shown));
    position.textContent = `${shown + 1} of ${cases.length}`;
  };
  const blend = () => viewer.style.setProperty("--masks", slider.value / 100);

  for (const button of viewer.querySelectorAll("button[data-step]")) {
    button.addEventListener("click", () => show(shown + Number(button.dataset.step)));
  }
  slider.addEventListener("input", blend);
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined || event.target === slider) return;
    event.preventDefault();
    show(shown + step);
  });
  viewer.classList.add("stepping");
  blend();
  show(0);
}
