"use strict";
/* The engine onnxruntime-web: runs an ONNX model in WebAssembly, on one thread, without any request. */
const engine = (() => {
  /** The bytes of gzip. */
  const unpacked = (bytes) =>
    new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();

  /** A function from an image to its logits, for the names and the shape of a model and the text of its file. */
  async function opened({ input, output, shape }, text) {
    const { InferenceSession, Tensor, env } = globalThis.ort;
    env.logLevel = "error";
    env.wasm.numThreads = 1; // browsers give pages on disk no shared memory
    env.wasm.wasmBinary = await unpacked(numbers.bytesIn(document.getElementById("runtime").textContent));
    const session = await InferenceSession.create(numbers.bytesIn(text), { executionProviders: ["wasm"] });
    let last = Promise.resolve(); // a session runs one image at a time
    return (image) => {
      const run = () => session.run({ [input]: new Tensor("float32", image, shape) });
      last = last.then(run, run);
      return last.then((outputs) => outputs[output].data);
    };
  }

  return { name: "onnxruntime-web", opened };
})();
