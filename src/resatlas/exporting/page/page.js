"use strict";
/* The page: takes images from a file, the pen or the camera, and shows the classes. */
const page = (() => {
  const byId = (id) => document.getElementById(id);
  const description = JSON.parse(byId("description").textContent);
  const { classes, network, preparation, check } = description;
  const normalisation = numbers.numbersIn(byId("normalisation").textContent, "fp32");
  const compute = engine.opened(network, byId("weights").textContent); // a promise: an engine may take a second to start

  const TOP = 5;

  /** What the network takes of an image, and its logits; `pixels` as in image.js. */
  async function logitsOf(pixels) {
    const seen = images.centre(pixels, preparation);
    return { seen, logits: await (await compute)(images.normalised(seen, preparation, normalisation)) };
  }

  const inChannels = (pixels) => images.inChannels(pixels, preparation.image[0]);

  /** The classes of an image by falling probability: [{ name, probability }]. */
  function ranked(logits) {
    return numbers.softmax(logits)
      .map((probability, k) => ({ name: classes[k], probability }))
      .sort((one, other) => other.probability - one.probability);
  }

  /** The image of the check, a fixed pattern, and how far its logits are from those of torch, as a share. */
  async function checked() {
    const [channels, height, width] = preparation.image;
    const data = Uint8Array.from({ length: channels * height * width }, (_, k) => (97 * k + 31 * (k >> 3)) % 256);
    const { logits } = await logitsOf({ channels, height, width, data });
    const scale = Math.max(1, ...check.logits.map(Math.abs));
    const far = Math.max(...check.logits.map((value, k) => Math.abs(value - logits[k]))) / scale;
    return { far, holds: far <= check.bound };
  }

  let shown = null; // the last image, so that it can be classified again when an option changes
  let turn = 0; // of the last image or refusal: classes of earlier images are not shown

  function say(words) { byId("message").textContent = words; }

  /** Classifies pixels in red, green and blue, and shows the result. */
  async function show(pixels, source) {
    const own = ++turn;
    try {
      shown = { pixels, source };
      const grey = inChannels(pixels);
      const swapped = source !== "drawing" && byId("invert")?.checked;
      await compute;
      const begun = performance.now();
      const { seen, logits } = await logitsOf(swapped ? images.inverted(grey) : grey);
      const milliseconds = Math.round(performance.now() - begun);
      if (own !== turn) return;
      paint(byId("seen"), seen);
      list(ranked(logits).slice(0, TOP));
      byId("result").hidden = false;
      say(`Classified the ${source} in ${milliseconds} ms.`);
      if (source !== "drawing") byId("result").scrollIntoView({ block: "nearest" }); // a pen would lose its place
    } catch (error) {
      if (own === turn) refuse(error);
    }
  }

  function refuse(error) {
    turn++;
    byId("result").hidden = true;
    if (error instanceof images.Refused) say(`This image cannot be classified: ${error.message}.`);
    else { say("This image cannot be classified."); console.error(error); }
  }

  function list(rows) {
    byId("classes").replaceChildren(...rows.map(({ name, probability }) => {
      const row = document.createElement("li"), label = document.createElement("span");
      const share = document.createElement("span"), bar = document.createElement("div");
      label.textContent = name;
      share.textContent = `${(100 * probability).toFixed(1)} %`;
      bar.style.width = `${100 * probability}%`;
      bar.className = "bar";
      row.append(label, share, bar);
      return row;
    }));
  }

  /** Paints pixels on a canvas of their size. */
  function paint(canvas, { channels, height, width, data }) {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d"), picture = context.createImageData(width, height), area = height * width;
    for (let k = 0; k < area; k++) {
      for (let channel = 0; channel < 3; channel++) {
        picture.data[4 * k + channel] = data[k + (channels === 3 ? channel * area : 0)];
      }
      picture.data[4 * k + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  }

  async function take(blob, name) {
    say(`Reading ${name} …`);
    try { await show(await images.decoded(blob), "picture"); } catch (error) { refuse(error); }
  }

  function listenToFiles() {
    byId("file").addEventListener("change", ({ target }) => {
      if (target.files.length) take(target.files[0], target.files[0].name);
      target.value = ""; // so that the same file can be chosen again
    });
    document.addEventListener("dragover", (event) => { event.preventDefault(); byId("drop").classList.add("over"); });
    document.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      byId("drop").classList.remove("over");
      const [file] = event.dataTransfer.files;
      if (file) take(file, file.name); else say("Drop an image file.");
    });
    document.addEventListener("paste", (event) => {
      const [file] = event.clipboardData.files;
      if (file) take(file, "the pasted image");
    });
    byId("invert")?.addEventListener("change", () => {
      if (shown && shown.source !== "drawing") show(shown.pixels, shown.source);
    });
  }

  /** Drawings go to the network as soon as the pen is lifted. */
  function listenToPen() {
    const kept = preparation.image[1] / preparation.shorter; // the share of the square that is not cropped
    const drawing = pen.listen({ canvas: byId("drawing"), fits: () => byId("fit").checked, kept, say, draw: (canvas) => {
      show(images.pixelsOf(canvas, canvas.width, canvas.height), "drawing");
    } });
    byId("fit").addEventListener("change", drawing.finish);
    byId("clear").addEventListener("click", () => {
      drawing.clear();
      turn++;
      byId("result").hidden = true;
      say("The drawing is empty.");
    });
  }

  function listenToCamera() {
    const video = byId("video"), start = byId("start"), shoot = byId("shoot");
    let stream = null;
    if (!navigator.mediaDevices?.getUserMedia) {
      start.disabled = true;
      byId("camera-note").textContent = "This browser gives pages on disk no camera.";
      return;
    }
    const toggle = (running) => {
      video.hidden = shoot.hidden = !running;
      start.textContent = running ? "Stop the camera" : "Start the camera";
    };
    start.addEventListener("click", async () => {
      if (stream) {
        stream.getTracks().forEach((track) => track.stop());
        stream = null;
        toggle(false);
        return;
      }
      try {
        stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        video.srcObject = stream;
        await video.play();
        toggle(true);
      } catch (error) {
        say(`The camera does not start: ${error.message || error.name}.`);
      }
    });
    shoot.addEventListener("click", () => {
      if (video.videoWidth) show(images.pixelsOf(video, video.videoWidth, video.videoHeight), "photo");
      else say("The camera has no picture yet.");
    });
  }

  /** Says at the foot of the page whether its classes can be trusted. */
  function judge(words, trusted) {
    byId("check").textContent = words;
    byId("check").classList.toggle("wrong", !trusted);
  }

  async function compare() {
    judge(`${engine.name} is starting …`, true);
    if (!images.readsExactly()) {
      judge("Do not trust the classes: this browser changes the pixels that a page reads, against tracking.", false);
      return;
    }
    try {
      const { far, holds } = await checked();
      judge(holds
        ? `This browser computes the logits of torch: on a test pattern they differ by ${far.toExponential(0)} of the largest.`
        : `Do not trust the classes: in this browser the logits of a test pattern differ from those of torch by `
          + `${far.toExponential(0)} of the largest, where ${check.bound} is allowed.`, holds);
    } catch (error) {
      judge(`Nothing can be classified: ${engine.name} does not start in this browser (${error.message || error}).`, false);
    }
  }

  listenToFiles();
  if (byId("drawing")) listenToPen(); // of networks that take grey images
  listenToCamera();
  compare();
  return { logitsOf, inChannels, ranked, checked };
})();
window.resatlas = { numbers, engine, images, page };
