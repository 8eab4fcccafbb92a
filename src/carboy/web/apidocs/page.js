const field = document.querySelector("nav input");
const nothing = document.querySelector("nav .nothing");
field.hidden = false;
field.addEventListener("input", () => {
  const wanted = field.value.trim().toLowerCase().split(/\s+/);
  let count = 0;
  for (const item of document.querySelectorAll("nav li")) {
    const words = item.textContent.toLowerCase() + " " + item.dataset.words;
    item.hidden = !wanted.every((word) => words.includes(word));
    count += item.hidden ? 0 : 1;
  }
  for (const list of document.querySelectorAll("nav ul")) list.previousElementSibling.hidden = !list.querySelector("li:not([hidden])");
  nothing.hidden = count > 0;
  document.querySelector("nav .list").open = true;
});
if (matchMedia("(max-width:56rem)").matches) document.querySelector("nav .list").open = false;

const open = () => {
  const found = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (found instanceof HTMLDetailsElement) { found.open = true; found.scrollIntoView(); }
};
addEventListener("hashchange", open);
open();

const make = (name, text, more) => Object.assign(document.createElement(name), { textContent: text }, more);
for (const line of document.querySelectorAll("pre.curl")) {
  const copy = make("button", "Copy", { type: "button" });
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(line.firstChild.textContent);
    copy.textContent = "Copied";
  });
  line.append(copy);
}

const send = async (form, inputs, body, output) => {
  let path = form.path;
  const query = new URLSearchParams();
  const headers = new Headers();
  const key = document.querySelector("input.key").value.trim();
  try {
    if (form.secured && key) headers.set("Authorization", "Bearer " + key);
    for (const [one, input] of inputs) {
      if (one.in === "path") path = path.replace("{" + one.name + "}", encodeURIComponent(input.value));
      else if (input.value && one.in === "query") query.append(one.name, input.value);
      else if (input.value) headers.set(one.name, input.value);
    }
    if (body && form.type) headers.set("Content-Type", form.type);
    const base = location.pathname.replace(/\/docs\/?$/, "");
    const text = query.toString();
    const address = /^https?:/.test(path) ? path : base + path;
    const begin = performance.now();
    const answer = await fetch(address + (text ? "?" + text : ""), {
      method: form.method, headers, body: body && body.value ? body.value : undefined, credentials: "omit",
    });
    const data = await answer.text();
    let shown = data;
    try { shown = JSON.stringify(JSON.parse(data), null, 2); } catch { /* shown as it is */ }
    output.textContent = `${answer.status} ${answer.statusText}  ${Math.round(performance.now() - begin)} ms\n${[...answer.headers].map((one) => one.join(": ")).join("\n")}\n\n${shown}`;
  } catch (error) {
    output.textContent = `The request was not sent: ${error.message}`;
  }
  output.hidden = false;
};

for (const place of document.querySelectorAll("div.try")) {
  const form = JSON.parse(place.dataset.form);
  const inputs = form.parameters.map((one) => {
    const input = make("input", "", { value: one.value, required: one.required, autocomplete: "off" });
    const label = make("label", `${one.name} (${one.in}${one.required ? ", required" : ""})`);
    label.append(input);
    place.append(label);
    return [one, input];
  });
  let body = null;
  if (form.type && !form.type.startsWith("multipart/") && !["GET", "HEAD"].includes(form.method)) {
    body = make("textarea", "", { value: form.body, rows: Math.min(12, form.body.split("\n").length + 1), spellcheck: false });
    const label = make("label", `body (${form.type})`);
    label.append(body);
    place.append(label);
  }
  const button = make("button", "Send", { type: "button" });
  const output = make("pre", "", { hidden: true, tabIndex: 0 });
  output.setAttribute("role", "status");
  button.addEventListener("click", () => send(form, inputs, body, output));
  place.append(button, output);
}
for (const one of document.querySelectorAll(".try")) one.hidden = false;
