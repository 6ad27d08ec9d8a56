"use strict";

// Sends the chosen image to this server and shows the answer. All texts are set as text, never as markup.

const byId = (id) => document.getElementById(id);
const status = (text) => { byId("status").textContent = text; };
let latest = 0;

const row = ({ class: name, probability }) => {
  const cells = [name, probability.toFixed(4)].map((text) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    return cell;
  });
  const bar = document.createElement("meter");
  bar.value = probability;
  const last = document.createElement("td");
  last.append(bar);
  const line = document.createElement("tr");
  line.append(...cells, last);
  return line;
};

const classify = async (file) => {
  const number = ++latest;
  const preview = byId("preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  byId("classes").hidden = true;
  status("classifying …");
  try {
    const response = await fetch("v1/classify", {
      method: "POST",
      body: file,
      headers: { "content-type": "application/octet-stream" },
    });
    const answer = await response.json();
    if (number !== latest) return;
    if (answer.error) {
      status(answer.error);
      return;
    }
    byId("classes").tBodies[0].replaceChildren(...answer.classes.map(row));
    byId("classes").hidden = false;
    status("");
  } catch {
    if (number === latest) status("the server does not answer");
  }
};

const chosen = (files) => { if (files.length) classify(files[0]); };

byId("file").addEventListener("click", (event) => { event.target.value = ""; }); // the same file may be chosen again
byId("file").addEventListener("change", (event) => chosen(event.target.files));
document.addEventListener("paste", (event) => chosen(event.clipboardData.files));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") chosen(event.dataTransfer.files);
  });
}

byId("address").textContent = new URL(".", location.href).href;
fetch("v1/model").then((response) => response.json()).then((model) => {
  const sides = `${model.image.height} × ${model.image.width}`;
  byId("about").textContent = `${model.design || "a saved network"}, ${model.classes.length} classes, images of ${sides} pixels, ${model.engine} ${model.precision}`;
}).catch(() => status("the server does not answer"));
