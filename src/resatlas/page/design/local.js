"use strict";

// Asks the server that sent this page: `resatlas design` on this machine.

window.resatlasTransport = {
  ready: Promise.resolve(),
  ask: async (name, question) => {
    const response = await fetch(`ask/${name}`, {
      method: "POST",
      body: JSON.stringify(question),
      headers: { "content-type": "application/json" },
    });
    if (!response.ok) throw new Error((await response.text()).slice(0, 200));
    return response.text();
  },
};
