"use strict";

// The controls of the page and what it shows. All numbers and sentences come from the package, by the functions of
// answers.py; all texts are set as text, never as markup.

(() => {
  const PAUSE = 120; // milliseconds without a key before a question is asked
  const byId = (id) => document.getElementById(id);
  const put = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  let state = {};
  let latest = 0;
  let timer = 0;

  const ask = async (name, question) => JSON.parse(await window.resatlasTransport.ask(name, question));

  // questions, of which only the last is shown

  const turn = async (question, name = "turn") => {
    const number = ++latest;
    performance.mark("asked");
    let answer;
    try {
      answer = await ask(name, question);
    } catch (error) {
      answer = { error: `the page gets no answer: ${error.message}` };
    }
    if (number !== latest) return;
    if (answer.error) refuse(question, answer.error);
    else await show(answer);
    performance.measure("turn", "asked");
  };

  const soon = (question) => {
    clearTimeout(timer);
    ++latest;
    timer = setTimeout(() => turn(question), PAUSE);
  };

  const refuse = (question, sentence) => {
    byId("message").textContent = sentence;
    byId("page").classList.add("stale");
    const key = question.changed || (question.mode === "name" ? "name" : "");
    for (const control of document.querySelectorAll("[data-key], #name, [data-setting]")) {
      const own = control.dataset.key || control.dataset.setting || control.id;
      if (own === key) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    }
  };

  // answers

  const show = async (answer) => {
    state = answer.state;
    byId("message").textContent = "";
    byId("page").classList.remove("stale");
    for (const control of document.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
    byId("title").textContent = answer.name;
    const focused = document.activeElement === byId("name");
    if (!focused) byId("name").value = answer.name;
    byId("family").value = state.mode === "family" ? state.text : "";
    byId("as-cross").hidden = state.mode === "cross";
    byId("facts").replaceChildren(...answer.facts.map(([name, value, about]) => put("div", {},
      put("dt", { textContent: name }), put("dd", { textContent: value }), put("dd", { className: "soft", textContent: about }))));
    byId("warnings").replaceChildren(...answer.warnings.map((textContent) => put("li", { textContent })));
    showForm(answer.form);
    showSettings(answer.settings);
    byId("texts").replaceChildren(...answer.copies.map(text));
    byId("tables").replaceChildren(...answer.tables.map(table));
    byId("paths").hidden = !answer.charts.paths;
    await Promise.all(Object.entries(answer.charts).map(([id, spec]) => draw(byId(id), spec)));
    history.replaceState(null, "", state.mode === "cross" ? "#" : `#${encodeURIComponent(answer.name)}`);
    for (const details of [byId("eject"), byId("units")]) if (details.open) await unfold(details);
  };

  const draw = async (place, spec) => {
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", spec.description);
    const drawn = await vegaEmbed(place, spec, { actions: false, renderer: "svg" });
    await drawn.view.resize().runAsync();
  };

  const table = ({ title, note, columns, numeric, rows }) => {
    const kind = (k) => (numeric[k] ? "number" : "");
    const cells = (row, tag) => row.map((textContent, k) => put(tag, { textContent, className: kind(k) }));
    const whole = put("table", {}, put("caption", { textContent: title }),
      put("thead", {}, put("tr", {}, ...cells(columns, "th"))),
      put("tbody", {}, ...rows.map((row) => put("tr", {}, ...cells(row, "td")))));
    const box = put("div", { className: "scroll", tabIndex: 0 }, whole);
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", title);
    return put("div", {}, box, ...(note ? [put("p", { className: "soft", textContent: note })] : []));
  };

  const text = ({ name, title, text: content, about }) => {
    const pre = put("pre", { id: `copy-${name}`, textContent: content || about, tabIndex: 0 });
    pre.setAttribute("aria-label", title);
    const button = put("button", { type: "button", textContent: "Copy", disabled: !content });
    button.dataset.copies = pre.id;
    button.setAttribute("aria-label", `Copy ${title}`);
    return put("div", {}, put("h3", { textContent: title }), ...(content ? [put("p", { className: "soft", textContent: about })] : []),
      put("div", { className: "text" }, pre, button));
  };

  // controls: those that are there already keep their place and the focus

  const showForm = (groups) => {
    const form = byId("knobs");
    const keys = groups.flatMap((group) => group.controls.map(({ key, values }) => `${key}=${values}`)).join();
    if (form.dataset.keys !== keys) {
      const focused = document.activeElement?.dataset?.key;
      form.dataset.keys = keys;
      form.replaceChildren(...groups.map((group) => put("fieldset", {}, put("legend", { textContent: group.title }),
        ...group.controls.map(control))));
      if (focused) form.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    }
    for (const { key, value } of groups.flatMap((group) => group.controls)) {
      const input = form.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (input !== document.activeElement || input.tagName === "SELECT") input.value = value;
    }
  };

  const control = ({ key, label, kind, values, usual, needed }) => {
    const id = `knob-${key}`;
    const whole = kind === "a whole number";
    const input = values ? put("select", { id }, ...choices(values, usual))
      : put("input", { id, placeholder: needed ? "" : usual, type: whole ? "number" : "text", autocomplete: "off", spellcheck: false });
    input.dataset.key = key;
    input.title = values ? "" : `${kind}; ${needed ? "needed" : `by default ${usual}`}`;
    return put("p", { className: "field" }, put("label", { htmlFor: id, textContent: label }), input);
  };

  const choices = (values, usual) => values.map((value) => put("option", { value, textContent: value || usual }));

  const showSettings = (settings) => {
    for (const [id, values] of [["set-recipe", settings.recipes], ["set-kept", settings.stores]]) {
      if (byId(id).dataset.values === values.join()) continue;
      byId(id).dataset.values = values.join();
      byId(id).replaceChildren(...choices(values));
    }
    for (const input of document.querySelectorAll("[data-setting]")) {
      const setting = input.dataset.setting;
      input.placeholder = settings[setting];
      if (input.tagName === "SELECT") input.value = settings[setting];
      else if (input !== document.activeElement) input.value = state[setting];
    }
  };

  // what a reader does

  const named = () => turn({ ...settingsOf(state), mode: "name", text: byId("name").value });

  const settingsOf = ({ image = "", classes = "", batch = "", recipe = "", kept = "" }) =>
    (state.mode === "cross" ? { batch, kept } : { image, classes, batch, recipe, kept });

  byId("choose").addEventListener("submit", (event) => {
    event.preventDefault();
    named();
  });
  byId("name").addEventListener("change", named);
  byId("family").addEventListener("change", (event) => {
    if (event.target.value) turn({ ...settingsOf(state), mode: "family", text: event.target.value, knobs: {} });
  });
  byId("as-cross").addEventListener("click", () => turn(state, "cross"));
  for (const id of ["knobs", "settings"]) {
    byId(id).addEventListener("submit", (event) => event.preventDefault());
    byId(id).addEventListener("input", ({ target }) => {
      const { key, setting } = target.dataset;
      state = key ? { ...state, knobs: { ...state.knobs, [key]: target.value } } : { ...state, [setting]: target.value };
      soon({ ...state, changed: key || setting });
    });
  }

  const unfold = async (details) => {
    if (details.id === "eject") {
      const answer = await ask("eject", state);
      byId("source").textContent = answer.source || answer.error;
    } else {
      const answer = await ask("units", state);
      byId("unit-table").replaceChildren(...(answer.table ? [table(answer.table)] : [answer.error]));
    }
  };
  for (const id of ["eject", "units"]) {
    byId(id).addEventListener("toggle", (event) => { if (event.target.open) unfold(event.target); });
  }

  document.addEventListener("click", async ({ target }) => {
    if (!target.dataset?.copies) return;
    const source = byId(target.dataset.copies);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch { // pages from disk may not have the clipboard
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    target.textContent = "Copied";
    setTimeout(() => { target.textContent = "Copy"; }, 1500);
  });

  const begin = async () => {
    try {
      await window.resatlasTransport.ready;
      const { names, families } = await ask("start", {});
      byId("names").replaceChildren(...names.map((value) => put("option", { value })));
      byId("family").replaceChildren(put("option", { value: "", textContent: "a cross" }), ...choices(families));
      const first = JSON.parse(byId("first").textContent);
      const place = decodeURIComponent(location.hash.slice(1));
      await turn(place ? { mode: "name", text: place } : first);
      if (!state.mode) await turn(first);
      byId("page").setAttribute("aria-busy", "false");
      byId("status").textContent = "";
      performance.mark("ready");
    } catch (error) {
      byId("message").textContent = `This page does not start: ${error.message}`;
    }
  };
  begin();
})();
