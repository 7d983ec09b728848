() => {
  const faults = [];
  const named = (node) => `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ""}.${node.getAttribute("class") || ""}`;

  // Contrast, by WCAG 2: 4.5 for text, 3 for large text and for shapes.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((part, at) => part * top[3] + below[at] * (1 - top[3]));
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (node) => {
    const layers = [];
    for (let each = node; each; each = each.parentElement) layers.push(colour(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const contrast = (text, node) => {
    const below = behind(node), [a, b] = [luminance(over(colour(text), below)), luminance(below)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const seen = new Set();
  const judge = (what, node, text, least) => {
    const ratio = contrast(text, node);
    const fault = `${what} of ${named(node)} has a contrast of ${ratio.toFixed(2)}, wanted ${least}`;
    if (ratio < least && !seen.has(fault)) faults.push(fault);
    seen.add(fault);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let count = 0; walker.nextNode() && count < 20000; count++) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("script, title, .hidden, option")) continue;
    const style = getComputedStyle(node), large = parseFloat(style.fontSize) >= 24;
    judge("text", node, node.closest("svg") ? style.fill : style.color, large ? 3 : 4.5);
  }
  for (const shape of document.querySelectorAll("svg .bar, svg circle, svg rect:not(.grid), svg path.series0, svg path.series1, svg path.run")) {
    const style = getComputedStyle(shape);
    judge("shape", shape, style.fill === "none" ? style.stroke : style.fill, 3);
  }
  for (const shape of document.querySelectorAll(".bars div, .key")) judge("shape", shape.parentElement, getComputedStyle(shape).backgroundColor, 3);

  // Names, headings, tables.
  if (!document.documentElement.lang) faults.push("the page has no language");
  if (document.querySelectorAll("main").length !== 1) faults.push("the page has not one main part");
  if (document.querySelectorAll("h1").length !== 1) faults.push("the page has not one h1");
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (!heading.checkVisibility()) continue;
    const own = Number(heading.tagName[1]);
    if (own > level + 1) faults.push(`${heading.tagName} “${heading.textContent}” follows an h${level}`);
    level = own;
  }
  for (const head of document.querySelectorAll("th")) if (!head.scope) faults.push(`th “${head.textContent}” has no scope`);
  for (const head of document.querySelectorAll("thead th")) if (!head.textContent.trim()) faults.push("a column has no name");
  for (const control of document.querySelectorAll("input, select, button, a")) {
    const label = control.getAttribute("aria-label") || control.closest("label")?.textContent || control.textContent;
    if (!label.trim()) faults.push(`${named(control)} has no name`);
  }
  for (const image of document.querySelectorAll("svg, img")) if (!image.getAttribute("aria-label") && !image.alt) faults.push("a picture has no words");
  for (const box of document.querySelectorAll("*")) {
    const scrolls = ["auto", "scroll"].includes(getComputedStyle(box).overflowX) && box.scrollWidth > box.clientWidth + 1;
    if (scrolls && box.tabIndex < 0 && box.checkVisibility() && !box.querySelector("a, button, input, summary")) faults.push(`${named(box)} scrolls, and the keyboard does not reach it`);
  }

  // Sideways scrolling of the page.
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    const wide = [...document.querySelectorAll("main *")].filter((node) => node.getBoundingClientRect().right > width + 1
      && ![...function* () { for (let each = node.parentElement; each; each = each.parentElement) yield each; }()]
        .some((each) => ["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(each).overflowX)));
    faults.push(`the page is ${document.documentElement.scrollWidth} pixels wide, on ${width}: ${wide.slice(0, 3).map(named)}`);
  }
  return faults;
}
