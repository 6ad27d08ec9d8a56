"use strict";

// Python in this page: Pyodide and the package are in the page as texts, so that nothing is asked of any server.

window.resatlasTransport = (() => {
  const bytesOf = (id) => {
    const text = document.getElementById(id).textContent;
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  };
  const unpacked = (id, type) => new Response(
    new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("gzip")), { headers: { "content-type": type } });
  const module = async (id) => {
    const address = URL.createObjectURL(await unpacked(id, "text/javascript").blob());
    try {
      return await import(address);
    } finally {
      URL.revokeObjectURL(address);
    }
  };

  // the loader fetches two files, which are here already
  const files = {
    "pyodide.asm.wasm": () => unpacked("runtime-wasm", "application/wasm"),
    "python_stdlib.zip": () => new Response(bytesOf("runtime-library")),
  };
  const withFiles = async (action) => {
    const before = window.fetch;
    window.fetch = async (address) => {
      const name = String(address).split("/").pop();
      if (!files[name]) throw new Error(`this page has no ${name}`);
      return files[name]();
    };
    try {
      return await action();
    } finally {
      window.fetch = before;
    }
  };

  const start = async () => {
    const [{ loadPyodide }, { default: createPyodideModule }] = await Promise.all([module("runtime-loader"), module("runtime-module")]);
    const lockFileContents = JSON.parse(new TextDecoder().decode(bytesOf("runtime-lock")));
    const python = await withFiles(() => loadPyodide({ indexURL: "./", createPyodideModule, lockFileContents }));
    python.unpackArchive(bytesOf("package"), "zip", { extractDir: "/home/pyodide" });
    return python.runPython("from resatlas.page.design.answers import ask; ask");
  };

  const function_ = start();
  return {
    ready: function_,
    ask: async (name, question) => {
      const ask = await function_;
      await new Promise((resume) => { setTimeout(resume); }); // the browser draws what it has first
      return ask(name, JSON.stringify(question));
    },
  };
})();
