"use strict";
/* The pen: white strokes on a black square, by mouse, finger or keyboard. */
const pen = (() => {
  const WIDTH = 1 / 7; // of the square: strokes of the bundled digits are a little over 1 of their 8 pixels wide
  const STEP = 1 / 40; // of the square, for a press of an arrow key
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  /** Paints strokes, which are lists of points, scaled and then moved by (x, y); the pen keeps its width. */
  function paint(context, strokes, [scale, x, y] = [1, 0, 0]) {
    const side = context.canvas.width;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, side, side);
    context.setTransform(scale, 0, 0, scale, x, y);
    Object.assign(context, { strokeStyle: "#fff", lineWidth: (WIDTH * side) / scale, lineCap: "round", lineJoin: "round" });
    for (const points of strokes) {
      context.beginPath();
      context.moveTo(...points[0]);
      for (const point of points) context.lineTo(...point);
      context.stroke();
    }
  }

  /** Scale and place of strokes that fill the middle of the square, of which a share is kept. */
  function fitting(strokes, side, kept) {
    const across = strokes.flat().map(([x]) => x), down = strokes.flat().map(([, y]) => y);
    const left = Math.min(...across), right = Math.max(...across), top = Math.min(...down), bottom = Math.max(...down);
    const scale = (side * (kept - WIDTH)) / Math.max(right - left, bottom - top, side / 8);
    return [scale, side / 2 - (scale * (left + right)) / 2, side / 2 - (scale * (top + bottom)) / 2];
  }

  /** Follows the pen on a canvas; a finished drawing, scaled if it fits(), is given to draw() on a canvas of its own. */
  function listen({ canvas, fits, kept, say, draw }) {
    const side = canvas.width, context = canvas.getContext("2d"), copy = document.createElement("canvas");
    copy.width = copy.height = side;
    let strokes = [], place = [side / 2, side / 2], follows = null; // a pointer or the keys, while the pen is down

    function redraw() {
      paint(context, strokes);
      if (follows === "pointer" || !canvas.matches(":focus-visible")) return;
      context.fillStyle = "#f80"; // where the keys have moved the pen
      context.fillRect(place[0] - 3, place[1] - 3, 6, 6);
    }
    function begin(by, point) {
      follows = by;
      strokes.push([point]);
      redraw();
    }
    function move(by, point) {
      if (follows === by) strokes.at(-1).push(point);
      redraw();
    }
    function finish() {
      follows = null;
      redraw();
      if (!strokes.length) return;
      paint(copy.getContext("2d"), strokes, fits() ? fitting(strokes, side, kept) : undefined);
      draw(copy);
    }
    function clear() {
      strokes = [];
      follows = null;
      redraw();
    }
    function at(event) {
      const box = canvas.getBoundingClientRect();
      return [((event.clientX - box.left) * side) / box.width, ((event.clientY - box.top) * side) / box.height];
    }
    function onKey(event) {
      const arrow = ARROWS[event.key];
      if (!arrow && event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      if (arrow) {
        place = place.map((value, k) => Math.min(Math.max(value + side * STEP * arrow[k], 0), side));
        move("keys", place);
      } else if (event.key === " " && follows !== "keys") {
        begin("keys", place);
        say("The pen is down.");
      } else finish();
    }
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      begin("pointer", at(event));
    });
    canvas.addEventListener("pointermove", (event) => { if (follows === "pointer") move("pointer", at(event)); });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => { if (follows === "pointer") finish(); });
    }
    canvas.addEventListener("keydown", onKey);
    for (const change of ["focus", "blur"]) canvas.addEventListener(change, redraw);
    redraw();
    return { finish, clear };
  }

  return { listen };
})();
