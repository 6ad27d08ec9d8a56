"use strict";
/* Images: from a file, a drawing or a camera to the numbers that the network takes, as `resatlas predict` makes them.
 *
 * Pixels are { channels, height, width, data }, one channel after another, from 0 to 255.
 */
const images = (() => {
  const MOST_PIXELS = 2 ** 26, MOST_BYTES = 2 ** 28, STRETCH = 50, LONG = 4, SUPPORT = 2, STRIP = 2 ** 20;

  class Refused extends Error {}

  const KINDS = [
    ["JPEG", /^\xff\xd8\xff/], ["PNG", /^\x89PNG\r\n\x1a\n/], ["WEBP", /^RIFF[^]{4}WEBP/], ["BMP", /^BM/],
  ];
  const OTHERS = [
    ["a GIF", /^GIF8/], ["a TIFF", /^(II\*\0|MM\0\*)/], ["an AVIF", /^[^]{4}ftypavi/], ["a HEIC", /^[^]{4}ftyp(he|mi)/],
    ["a PDF", /^%PDF/], ["a web page or a drawing", /^(\xef\xbb\xbf)?\s*</],
  ];

  const text = (bytes, start, length) => String.fromCharCode(...bytes.subarray(start, start + length));

  /** The name of the format of a file's bytes. */
  function formatOf(bytes) {
    const beginning = text(bytes, 0, 64);
    const known = KINDS.find(([, pattern]) => pattern.test(beginning));
    if (known) return known[0];
    const other = OTHERS.find(([, pattern]) => pattern.test(beginning));
    const kind = bytes.length ? (other ? other[0] : "something else") : "an empty file";
    throw new Refused(`${kind}, not a JPEG, PNG, WEBP or BMP`);
  }

  /** The parts of a file that can say how the image was held: [name, start, length]; for a JPEG also its image. */
  function* partsOf(bytes, format) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = { JPEG: 2, PNG: 8, WEBP: 12 }[format] ?? bytes.length;
    while (at + 12 <= bytes.length) {
      if (format === "JPEG") {
        if (bytes[at] !== 0xff) return;
        if (bytes[at + 1] === 0xff) { at += 1; continue; }
        if (bytes[at + 1] === 0xda) { yield ["image", at, bytes.length - at]; return; }
        const length = view.getUint16(at + 2);
        yield [bytes[at + 1] === 0xe1 ? "APP1" : "", at + 4, length - 2];
        at += 2 + length;
      } else {
        const length = view.getUint32(format === "PNG" ? at : at + 4, format === "WEBP");
        yield [text(bytes, format === "PNG" ? at + 4 : at, 4), at + 8, length];
        at += format === "PNG" ? 12 + length : 8 + length + (length % 2);
      }
    }
  }

  const APP1_EXIF = "Exif\0\0";

  /** How EXIF, or else XMP, says that the image was held (1 to 8; 1 is upright), and the place of EXIF's number. */
  function orientationOf(bytes, format) {
    let written = 1;
    for (const [name, start, length] of partsOf(bytes, format)) {
      if (!["APP1", "eXIf", "EXIF", "XMP ", "iTXt"].includes(name)) continue;
      const prefixed = text(bytes, start, 6) === APP1_EXIF;
      if (name === "eXIf" || name === "EXIF" || (name === "APP1" && prefixed)) {
        const found = orientationIn(bytes, start + (prefixed ? 6 : 0), Math.min(start + length, bytes.length));
        if (found) return found;
      } else {
        const words = new TextDecoder("latin1").decode(bytes.subarray(start, start + length));
        const match = /tiff:Orientation(?:="|>)([0-9])/.exec(words);
        if (match) written = Number(match[1]);
      }
    }
    return { orientation: written >= 1 && written <= 8 ? written : 1 };
  }

  /** The orientation in a TIFF directory, with the place of its number. */
  function orientationIn(bytes, start, end) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, Math.max(end - start, 0));
    if (view.byteLength < 8) return null;
    const order = text(bytes, start, 2), little = order === "II";
    if (!little && order !== "MM") return null;
    const directory = view.getUint32(4, little);
    if (directory + 2 > view.byteLength) return null;
    for (let k = 0, at = directory + 2; k < view.getUint16(directory, little); k++, at += 12) {
      if (at + 12 > view.byteLength) return null;
      const short = view.getUint16(at + 2, little) === 3;
      if (view.getUint16(at, little) !== 0x0112) continue;
      const orientation = short ? view.getUint16(at + 8, little) : view.getUint32(at + 8, little);
      const place = start + at + 8 + (little ? 0 : short ? 1 : 3);
      return { orientation: orientation >= 1 && orientation <= 8 ? orientation : 1, place };
    }
    return null;
  }

  /** Refuses a file that holds several pictures, or a JPEG that breaks off. */
  function checkWhole(bytes, format) {
    let frames = 0, image = null;
    for (const [name, start, length] of partsOf(bytes, format)) {
      if (name === "acTL" && length >= 8) frames = new DataView(bytes.buffer, bytes.byteOffset + start).getUint32(0);
      if (name === "ANMF") frames += 1;
      if (name === "image") image = start;
    }
    if (frames > 1) throw new Refused(`an animation of ${frames} frames, where one image is wanted`);
    if (format === "JPEG") {
      let end = bytes.length - 2;
      while (image !== null && end > image && !(bytes[end] === 0xff && bytes[end + 1] === 0xd9)) end -= 1;
      if (image === null || end <= image) throw new Refused("a JPEG that is not complete");
    }
  }

  /** The pixels of an image file in red, green and blue, upright, with what is transparent on black. */
  async function decoded(blob) {
    if (blob.size > MOST_BYTES) throw new Refused(`${blob.size} bytes, where ${MOST_BYTES} is the most`);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const format = formatOf(bytes);
    checkWhole(bytes, format);
    const { orientation, place } = orientationOf(bytes, format);
    if (place) bytes[place] = 1; // browsers differ in which formats they turn, so none is asked to
    const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
    const bitmap = await createImageBitmap(new Blob([bytes]), options).catch(() => {
      throw new Refused(`a ${format} that is damaged or not complete`);
    });
    try {
      const { width, height } = bitmap;
      if (width * height > MOST_PIXELS) {
        throw new Refused(`${width} x ${height} pixels, where ${MOST_PIXELS} is the most`);
      }
      return proportioned(turned(pixelsOf(bitmap, width, height), orientation));
    } finally {
      bitmap.close();
    }
  }

  /** The pixels of what a canvas can draw (a bitmap, a video, a canvas), on black; one strip at a time. */
  function pixelsOf(source, width, height) {
    const rows = Math.max(Math.min(Math.floor(STRIP / width), height), 1);
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = rows;
    const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true, colorSpace: "srgb" });
    context.imageSmoothingEnabled = false;
    const area = width * height, data = new Uint8Array(3 * area);
    for (let top = 0; top < height; top += rows) {
      const count = Math.min(rows, height - top);
      context.fillStyle = "#000";
      context.fillRect(0, 0, width, rows);
      context.drawImage(source, 0, -top);
      const strip = context.getImageData(0, 0, width, count).data;
      for (let k = 0, at = top * width; k < strip.length; k += 4, at++) {
        data[at] = strip[k];
        data[at + area] = strip[k + 1];
        data[at + 2 * area] = strip[k + 2];
      }
    }
    return { channels: 3, height, width, data };
  }

  /** Whether pixels read from a canvas are those put there; some browsers add noise, so that nobody is recognised. */
  function readsExactly() {
    const side = 16, canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d", { willReadFrequently: true }), picture = context.createImageData(side, side);
    picture.data.forEach((_, k) => { picture.data[k] = k % 4 === 3 ? 255 : (7 * k) % 256; });
    context.putImageData(picture, 0, 0);
    const { data } = pixelsOf(canvas, side, side);
    return data.every((value, k) => value === picture.data[4 * (k % side ** 2) + Math.floor(k / side ** 2)]);
  }

  /** The pixels turned and mirrored as their orientation wants it. */
  function turned(pixels, orientation) {
    if (orientation === 1) return pixels;
    const { channels, height, width, data } = pixels, across = orientation > 4;
    const [rows, columns] = across ? [width, height] : [height, width];
    const bottom = [3, 4, 6, 7].includes(orientation), right = [2, 3, 7, 8].includes(orientation);
    const down = bottom ? -width : width, along = right ? -1 : 1;
    const [perRow, perColumn] = across ? [along, down] : [down, along];
    const first = (bottom ? (height - 1) * width : 0) + (right ? width - 1 : 0);
    const result = new Uint8Array(data.length);
    for (let channel = 0, at = 0; channel < channels; channel++) {
      for (let row = 0; row < rows; row++) {
        let from = channel * height * width + first + row * perRow;
        for (let column = 0; column < columns; column++, from += perColumn) result[at++] = data[from];
      }
    }
    return { channels, height: rows, width: columns, data: result };
  }

  function proportioned(pixels) {
    const { height, width } = pixels, short = Math.min(height, width), long = Math.max(height, width);
    if (short < 2) throw new Refused(`${width} x ${height} pixels, where a photograph has 2 a side or more`);
    if (long > STRETCH * short) {
      throw new Refused(`${width} x ${height} pixels, one side over ${STRETCH} times the other`);
    }
    return pixels;
  }

  /** The luma of red, green and blue, for a network of one channel. Source: ITU-R BT.601. */
  function inChannels(pixels, channels) {
    if (channels === 3) return pixels;
    const { height, width, data } = pixels, area = height * width, grey = new Uint8Array(area);
    for (let k = 0; k < area; k++) {
      grey[k] = Math.floor((299 * data[k] + 587 * data[k + area] + 114 * data[k + 2 * area] + 500) / 1000);
    }
    return { channels: 1, height, width, data: grey };
  }

  const inverted = (pixels) => ({ ...pixels, data: pixels.data.map((value) => 255 - value) });

  /** The nearest whole number; of two as near, the even one. */
  function rounded(x) {
    const below = Math.floor(x), rest = x - below;
    return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
  }

  /** The centre of an image in the network's size, after its shorter side has become `shorter`. */
  function centre(pixels, { image: [, size, across], shorter }) {
    const { height, width } = pixels;
    if (height === size && width === across) return pixels;
    if (size !== across) {
      throw new Refused(`${width} x ${height} pixels, where this network needs exactly ${across} x ${size}`);
    }
    const short = Math.min(height, width);
    const rows = Math.floor((shorter * height) / short), columns = Math.floor((shorter * width) / short);
    const down = strip(height, rows, rounded((rows - size) / 2), size, height > LONG * width);
    const along = strip(width, columns, rounded((columns - size) / 2), size, width > LONG * height);
    return resized(pixels, down, along, size);
  }

  /** The part [first, last) of a side that a crop shows, its length as resized, and where the crop starts in it. */
  function strip(length, target, start, size, long) {
    if (!long) return { first: 0, last: length, target, start };
    const share = length / target, margin = SUPPORT * Math.max(share, 1);
    const first = Math.max(Math.floor(start * share - margin), 0);
    const last = Math.min(Math.ceil((start + size) * share + margin), length);
    const shorter = Math.max(rounded((last - first) / share), size);
    return { first, last, target: shorter, start: Math.min(Math.max(start - rounded(first / share), 0), shorter - size) };
  }

  /** The crop of a resized image: bilinear with antialias, along the rows, then along the columns. */
  function resized({ channels, height, width, data }, down, along, size) {
    const vertical = weightsOf(down, size), horizontal = weightsOf(along, size);
    const top = vertical.starts[0], bottom = vertical.starts[size - 1] + vertical.counts[size - 1];
    const rows = bottom - top, between = new Uint8Array(channels * rows * size);
    for (let channel = 0, at = 0; channel < channels; channel++) {
      for (let row = top; row < bottom; row++) {
        const line = (channel * height + row) * width;
        for (let k = 0; k < size; k++) between[at++] = weighed(horizontal, k, data, line + horizontal.starts[k], 1);
      }
    }
    const result = new Uint8Array(channels * size * size);
    for (let channel = 0, at = 0; channel < channels; channel++) {
      for (let row = 0; row < size; row++) {
        const line = (channel * rows + vertical.starts[row] - top) * size;
        for (let k = 0; k < size; k++) result[at++] = weighed(vertical, row, between, line + k, size);
      }
    }
    return { channels, height: size, width: size, data: result };
  }

  function weighed({ weights, counts, most, bits }, k, data, first, step) {
    let sum = 1 << (bits - 1);
    for (let j = 0, w = k * most, at = first; j < counts[k]; j++, w++, at += step) sum += weights[w] * data[at];
    return Math.min(Math.max(sum >> bits, 0), 255);
  }

  /** The whole-numbered weights of pixels in each of `size` resized ones.
   *
   * Source: torch 2.14, aten/src/ATen/native/cpu/UpSampleKernel.cpp, bilinear with antialias for uint8: weights of 16
   * bits, with as many binary places as the largest of them allows.
   */
  function weightsOf({ first, last, target, start }, size) {
    const length = last - first, scale = length / target, support = Math.max(scale, 1);
    const most = 2 * Math.ceil(support) + 1, shares = new Float64Array(target * most);
    const starts = [], counts = [];
    let largest = 0;
    for (let k = 0; k < target; k++) {
      const middle = scale * (k + 0.5);
      const begin = Math.max(Math.trunc(middle - support + 0.5), 0);
      const count = length === target ? 1 : Math.min(Math.trunc(middle + support + 0.5), length) - begin;
      let sum = 0;
      for (let j = 0; j < count; j++) {
        const distance = Math.abs((j + begin - middle + 0.5) / support);
        sum += shares[k * most + j] = length === target ? 1 : Math.max(1 - distance, 0);
      }
      for (let j = 0; j < count; j++) largest = Math.max(largest, (shares[k * most + j] /= sum || 1));
      starts.push(first + (length === target ? k : begin));
      counts.push(count);
    }
    let bits = 0;
    while (bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** 15) bits += 1;
    const weights = Int32Array.from(
      shares.subarray(start * most, (start + size) * most), (share) => Math.trunc(0.5 + share * 2 ** bits));
    return { weights, most, bits, starts: starts.slice(start, start + size), counts: counts.slice(start, start + size) };
  }

  /** The numbers that the network takes: pixels from 0 to 1, normalised, each step rounded to float32 as in torch. */
  function normalised(pixels, { normalisation }, numbers) {
    const at = ([place, count]) => numbers.subarray(place, place + count);
    const units = Float32Array.from(pixels.data, (value) => value / 255);
    const mean = at(normalisation.mean);
    if (normalisation.kind === "whitening") {
      return whitened(units, mean, at(normalisation.matrix), at(normalisation.contrast)[0]);
    }
    const std = at(normalisation.std), area = pixels.height * pixels.width;
    const of = (values, k) => values[values.length === 1 ? 0 : values.length === units.length ? k : Math.floor(k / area)];
    return units.map((value, k) => Math.fround(value - of(mean, k)) / of(std, k));
  }

  /** matrix·(contrast·(x - mean x)/|x - mean x| - mean); a flat image is not scaled. */
  function whitened(units, mean, matrix, contrast) {
    const count = units.length, middle = units.reduce((sum, value) => sum + value, 0) / count;
    const length = Math.sqrt(units.reduce((sum, value) => sum + (value - middle) ** 2, 0));
    const centred = units.map((value, k) => (contrast * (value - middle)) / (length < 1e-8 ? 1 : length) - mean[k]);
    const sums = new Float64Array(count);
    for (let j = 0; j < count; j++) {
      for (let k = 0, from = j * count; k < count; k++, from++) sums[k] += centred[j] * matrix[from];
    }
    return Float32Array.from(sums);
  }

  return { Refused, decoded, pixelsOf, readsExactly, turned, inChannels, inverted, centre, normalised };
})();
