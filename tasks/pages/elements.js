"use strict";
// What the scripts of several pages share. Texts of data become text nodes, never HTML.

const data = JSON.parse(document.getElementById("data").textContent);

function element(tag, className, ...content) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...content.filter((part) => part !== undefined && part !== null));
  return node;
}

// A list to choose from, with its label; `options` are pairs of value and text.
function choice(id, label, options, value, change) {
  const select = element("select");
  select.id = id;
  for (const [key, text] of options) {
    const option = element("option", "", text);
    option.value = key;
    select.append(option);
  }
  select.value = value;
  select.addEventListener("change", () => change(select.value));
  return element("label", "", `${label} `, select);
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

// The answer with what differs from the reference marked: words shared at the start and at the end are not.
function marked(reference, output) {
  const cut = (text) => text.match(/\s+|\S+/g) || [];
  const expected = cut(reference), actual = cut(output), most = Math.min(expected.length, actual.length);
  let start = 0, end = 0;
  while (start < most && expected[start] === actual[start]) start++;
  while (end < most - start && expected[expected.length - 1 - end] === actual[actual.length - 1 - end]) end++;
  const code = element("code", "", actual.slice(0, start).join(""));
  const middle = actual.slice(start, actual.length - end).join("");
  if (middle) code.append(element("mark", "", middle));
  code.append(actual.slice(actual.length - end).join(""));
  return code;
}

// A line of a table of answers.
function line(name, content, detail, kind) {
  const head = element("th", "", name), cell = element("td", "", content);
  head.scope = "row";
  if (detail) cell.append(element("div", "note", detail));
  return element("tr", kind || "", head, cell);
}
