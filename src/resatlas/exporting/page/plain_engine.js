"use strict";
/* The engine of the page itself: carries out a program, which is a list of operations on maps.
 *
 * A map is a Float32Array of channels, rows and columns, in this order. Map 0 is the image; operation k makes map k + 1.
 * Products are summed in float64, so that a result is as near to the exact one as float32 maps allow.
 */
const engine = (() => {
  /** The program with the weights of its convolutions in the order in which `convolve` reads them. */
  function prepared(program, numbers) {
    const shapes = [program.image, ...program.operations.map((operation) => operation.shape)];
    const lastUse = new Array(shapes.length).fill(-1);
    program.operations.forEach((operation, k) => operation.of.forEach((x) => { lastUse[x] = k; }));
    const operations = program.operations.map((operation) => {
      const from = shapes[operation.of[0]];
      const at = (place, count) => numbers.subarray(place, place + count);
      switch (operation.do) {
        case "convolve": return { ...operation, from, ...packed(operation, from[0], at) };
        case "affine":
          return { ...operation, from, scale: at(operation.scale, from[0]), shift: at(operation.shift, from[0]) };
        case "classify":
          return {
            ...operation, from,
            weight: at(operation.weight, operation.shape[0] * size(from)), bias: at(operation.bias, operation.shape[0]),
          };
        default: return { ...operation, from };
      }
    });
    return { shapes, operations, lastUse };
  }

  const size = ([channels, height, width]) => channels * height * width;

  /** Weights by blocks of 4 outputs: for each input and kernel position, the 4 weights side by side. */
  function packed({ kernel, groups, shape, weight, bias }, channels, at) {
    const perGroup = shape[0] / groups, taps = (channels / groups) * kernel * kernel;
    const blocks = Math.ceil(perGroup / 4), given = at(weight, shape[0] * taps);
    const blocked = new Float32Array(groups * blocks * taps * 4);
    for (let output = 0; output < shape[0]; output++) {
      const group = Math.floor(output / perGroup), inside = output % perGroup;
      const start = (group * blocks + (inside >> 2)) * taps * 4 + (inside & 3);
      for (let tap = 0; tap < taps; tap++) blocked[start + 4 * tap] = given[output * taps + tap];
    }
    return { weight: blocked, bias: at(bias, shape[0]), taps, blocks, perGroup };
  }

  /** x with a border of zeros; x itself if the border has no width. */
  function bordered(x, [channels, height, width], border, target) {
    if (!border) return x;
    const wide = width + 2 * border;
    target.fill(0);
    for (let channel = 0, from = 0, to = 0; channel < channels; channel++) {
      to += border * wide + border;
      for (let row = 0; row < height; row++, from += width, to += wide) target.set(x.subarray(from, from + width), to);
      to += border * wide - border;
    }
    return target;
  }

  /** relu(conv(x) + bias), for blocks of 4 outputs and 2 columns at a time. */
  function convolve(operation, x, result, borrowed) {
    const { kernel, stride, dilation, groups, from, shape, weight, bias, taps, blocks, perGroup, relu } = operation;
    const border = dilation * (kernel >> 1), wide = from[2] + 2 * border, plane = wide * (from[1] + 2 * border);
    const scratch = border ? borrowed(from[0] * plane) : null;
    const input = bordered(x, from, border, scratch);
    const [, height, width] = shape, area = height * width, floor = relu ? 0 : -Infinity;
    const places = new Int32Array(taps);
    for (let tap = 0; tap < taps; tap++) {
      const position = tap % (kernel * kernel), channel = (tap - position) / (kernel * kernel);
      places[tap] = channel * plane + dilation * (Math.floor(position / kernel) * wide + (position % kernel));
    }
    for (let group = 0; group < groups; group++) {
      const corner = group * (from[0] / groups) * plane;
      for (let block = 0; block < blocks; block++) {
        const first = group * perGroup + 4 * block, outputs = Math.min(4, perGroup - 4 * block);
        const begin = (group * blocks + block) * taps * 4;
        const b0 = bias[first], b1 = outputs > 1 ? bias[first + 1] : 0;
        const b2 = outputs > 2 ? bias[first + 2] : 0, b3 = outputs > 3 ? bias[first + 3] : 0;
        for (let row = 0; row < height; row++) {
          for (let column = 0; column < width; column += 2) {
            const pair = column + 1 < width;
            const left = corner + row * stride * wide + column * stride, right = pair ? left + stride : left;
            let l0 = b0, l1 = b1, l2 = b2, l3 = b3, r0 = b0, r1 = b1, r2 = b2, r3 = b3;
            for (let tap = 0, w = begin; tap < taps; tap++, w += 4) {
              const place = places[tap], l = input[left + place], r = input[right + place];
              const w0 = weight[w], w1 = weight[w + 1], w2 = weight[w + 2], w3 = weight[w + 3];
              l0 += l * w0; r0 += r * w0; l1 += l * w1; r1 += r * w1;
              l2 += l * w2; r2 += r * w2; l3 += l * w3; r3 += r * w3;
            }
            const at = first * area + row * width + column;
            result[at] = Math.max(l0, floor);
            if (outputs > 1) result[at + area] = Math.max(l1, floor);
            if (outputs > 2) result[at + 2 * area] = Math.max(l2, floor);
            if (outputs > 3) result[at + 3 * area] = Math.max(l3, floor);
            if (!pair) continue;
            result[at + 1] = Math.max(r0, floor);
            if (outputs > 1) result[at + area + 1] = Math.max(r1, floor);
            if (outputs > 2) result[at + 2 * area + 1] = Math.max(r2, floor);
            if (outputs > 3) result[at + 3 * area + 1] = Math.max(r3, floor);
          }
        }
      }
    }
    return scratch;
  }

  /** Sets each value of a map to make(window), over the rows and columns of x from which it is computed. */
  function pooled({ from, shape }, result, window, make) {
    let at = 0;
    for (let channel = 0; channel < shape[0]; channel++) {
      for (let row = 0; row < shape[1]; row++) {
        const [top, bottom] = window(row, from[1]);
        for (let column = 0; column < shape[2]; column++) {
          const [left, right] = window(column, from[2]);
          result[at++] = make(channel * from[1] * from[2], top, bottom, left, right, from[2]);
        }
      }
    }
  }

  const operations = {
    convolve: ({ operation, maps: [x], result, borrowed }) => convolve(operation, x, result, borrowed),

    affine: ({ operation: { from, scale, shift, relu }, maps: [x], result }) => {
      const area = from[1] * from[2], floor = relu ? 0 : -Infinity;
      for (let k = 0, channel = 0; channel < from[0]; channel++) {
        for (const end = k + area; k < end; k++) result[k] = Math.max(x[k] * scale[channel] + shift[channel], floor);
      }
    },

    classify: ({ operation: { shape, weight, bias }, maps: [x], result }) => {
      for (let output = 0, w = 0; output < shape[0]; output++) {
        let sum = bias[output];
        for (let k = 0; k < x.length; k++, w++) sum += x[k] * weight[w];
        result[output] = sum;
      }
    },

    combine: ({ operation: { shares, over, relu }, maps, result }) => {
      const floor = relu ? 0 : -Infinity;
      for (let k = 0; k < result.length; k++) {
        let sum = 0;
        for (let j = 0; j < maps.length; j++) sum += shares[j] * maps[j][k];
        result[k] = Math.max(sum / over, floor);
      }
    },

    concat: ({ maps, result }) => {
      let at = 0;
      for (const x of maps) { result.set(x, at); at += x.length; }
    },

    part: ({ operation: { start, from }, maps: [x], result }) => {
      const first = start * from[1] * from[2];
      result.set(x.subarray(first, first + result.length));
    },

    weigh: ({ operation: { by }, maps: [x, gate], result }) => {
      const area = x.length / gate.length;  // pixels that share a value of the gate: 1, or those of a channel
      for (let k = 0, at = 0; k < gate.length; k++) {
        const factor = by === "gate" ? gate[k] : 1 - gate[k];
        for (const end = at + area; at < end; at++) result[at] = factor * x[at];
      }
    },

    maxpool: ({ operation, maps: [x], result }) => {
      const { kernel, stride } = operation, before = kernel >> 1;
      const window = (k, length) => [Math.max(k * stride - before, 0), Math.min(k * stride - before + kernel, length)];
      pooled(operation, result, window, (start, top, bottom, left, right, width) => {
        let most = -Infinity;
        for (let row = top; row < bottom; row++) {
          for (let column = left; column < right; column++) most = Math.max(most, x[start + row * width + column]);
        }
        return most;
      });
    },

    avgpool: ({ operation, maps: [x], result }) => {
      const { stride } = operation;
      const window = (k, length) => [k * stride, Math.min((k + 1) * stride, length)];
      pooled(operation, result, window, (start, top, bottom, left, right, width) => {
        let sum = 0;
        for (let row = top; row < bottom; row++) {
          for (let column = left; column < right; column++) sum += x[start + row * width + column];
        }
        return sum / ((bottom - top) * (right - left));
      });
    },

    centredmean: ({ operation, maps: [x], result }) => {
      const { kernel, stride } = operation, before = kernel >> 1;
      const window = (k, length) => [Math.max(k * stride - before, 0), Math.min(k * stride - before + kernel, length)];
      pooled(operation, result, window, (start, top, bottom, left, right, width) => {
        let sum = 0;
        for (let row = top; row < bottom; row++) {
          for (let column = left; column < right; column++) sum += x[start + row * width + column];
        }
        return sum / (kernel * kernel);
      });
    },

    slidingmean: ({ operation, maps: [x], result }) => {
      const { size, dilation } = operation;
      const window = (k, length) => [k, Math.min(k + (size - 1) * dilation + 1, length)];
      pooled(operation, result, window, (start, top, bottom, left, right, width) => {
        let sum = 0, inside = 0;
        for (let row = top; row < bottom; row += dilation) {
          for (let column = left; column < right; column += dilation, inside++) sum += x[start + row * width + column];
        }
        return sum / inside;
      });
    },

    subsample: ({ operation, maps: [x], result }) => {
      const { stride } = operation;
      const window = (k) => [k * stride, k * stride + 1];
      pooled(operation, result, window, (start, top, bottom, left, right, width) => x[start + top * width + left]);
    },

    shifted: ({ operation: { stride, shift, from, shape }, maps: [x], result }) => {
      const [, height, width] = from, inside = (row, column) => row >= 0 && row < height && column >= 0 && column < width;
      for (let channel = 0, at = 0; channel < shape[0]; channel++) {
        const by = channel < from[0] ? 0 : shift, start = (channel % from[0]) * height * width;
        for (let row = -by; row < shape[1] * stride - by; row += stride) {
          for (let column = -by; column < shape[2] * stride - by; column += stride) {
            result[at++] = inside(row, column) ? x[start + row * width + column] : 0;
          }
        }
      }
    },

    zeros: ({ operation: { before, shape }, maps: [x], result }) => {
      result.fill(0);
      result.set(x, before * shape[1] * shape[2]);
    },

    globalpool: ({ operation: { from }, maps: [x], result }) => {
      const area = from[1] * from[2];
      for (let channel = 0, k = 0; channel < from[0]; channel++) {
        let sum = 0;
        for (const end = k + area; k < end; k++) sum += x[k];
        result[channel] = sum / area;
      }
    },

    relu: ({ maps: [x], result }) => { for (let k = 0; k < x.length; k++) result[k] = Math.max(x[k], 0); },

    sigmoid: ({ maps: [x], result }) => { for (let k = 0; k < x.length; k++) result[k] = 1 / (1 + Math.exp(-x[k])); },
  };

  /** The logits of an image; the memory of a map is used again after its last reader. */
  function run({ shapes, operations: steps, lastUse }, image) {
    const free = new Map();
    const borrowed = (length) => free.get(length)?.pop() ?? new Float32Array(length);
    const returned = (map) => { if (map) free.set(map.length, [...(free.get(map.length) ?? []), map]); };
    const maps = [image];
    steps.forEach((operation, k) => {
      const result = borrowed(size(operation.shape));
      const inputs = operation.of.map((x) => maps[x]);
      returned(operations[operation.do]({ operation, maps: inputs, result, borrowed }));
      maps.push(result);
      for (const x of new Set(operation.of)) {
        if (x > 0 && lastUse[x] === k) { returned(maps[x]); maps[x] = null; }
      }
    });
    return maps[shapes.length - 1];
  }

  /** A function from an image to its logits, for a program and the text of its numbers. */
  async function opened(program, text) {
    const network = prepared(program, numbers.numbersIn(text, program.numbers));
    return async (image) => run(network, image);
  }

  return { name: "This page", opened, prepared, run };
})();
