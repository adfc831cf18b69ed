// The attribution graph, drawn from the page's data. Text enters as text nodes only.
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("graph").textContent);
  var view = document.getElementById("view");
  if (!data.prompts.length) return;
  view.hidden = false;
  var NS = "http" + "://www.w3.org/2000/svg"; // a name, not an address
  var picture = document.getElementById("picture"), card = document.getElementById("card"), told = document.getElementById("told");
  var state = { prompt: 0, mode: "lora", edges: true, first: false, sure: false, chosen: null };
  var LEFT = 112, TOP = 60, CELL = 46, ROW = 30, COLUMN = 96, RATE = 0.1;

  function make(tag, attributes, text) {
    var element = document.createElementNS(NS, tag);
    Object.keys(attributes || {}).forEach(function (name) { element.setAttribute(name, attributes[name]); });
    if (text !== undefined) element.textContent = text;
    return element;
  }
  function html(tag, text, css) {
    var element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (css) element.className = css;
    return element;
  }
  function signed(value, digits) { return (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(digits === undefined ? 3 : digits); }

  // Nodes of the mode: of one model, or adapted minus base of the same part.
  function currentNodes() {
    var prompt = data.prompts[state.prompt];
    if (state.mode !== "difference") return prompt[state.mode].nodes;
    var base = {}, seen = {};
    prompt.base.nodes.forEach(function (node) { base[node.id] = node; });
    var found = prompt.lora.nodes.map(function (node) {
      var other = base[node.id];
      seen[node.id] = true;
      return Object.assign({}, node, {
        total: node.total - (other ? other.total : 0),
        values: node.values.map(function (value, t) { return value - (other ? other.values[t] : 0); }),
        ablation: node.ablation === null ? null : node.ablation - (other && other.ablation !== null ? other.ablation : 0)
      });
    });
    prompt.base.nodes.forEach(function (node) {
      if (!seen[node.id]) found.push(Object.assign({}, node, {
        total: -node.total, values: node.values.map(function (value) { return -value; }),
        ablation: node.ablation === null ? null : -node.ablation, q: null
      }));
    });
    return found;
  }
  function shown() {
    return currentNodes().filter(function (node) { return !state.sure || (node.q !== null && node.q <= RATE); });
  }
  function currentEdges() {
    var prompt = data.prompts[state.prompt];
    if (state.mode !== "difference") return prompt[state.mode].edges;
    var weights = {};
    prompt.base.edges.forEach(function (e) { weights[e[0] + "\n" + e[1]] = -e[2]; });
    prompt.lora.edges.forEach(function (e) { var k = e[0] + "\n" + e[1]; weights[k] = (weights[k] || 0) + e[2]; });
    return Object.keys(weights).map(function (k) { return k.split("\n").concat(weights[k]); });
  }

  var places = {}, stage = null;
  function draw() {
    var prompt = data.prompts[state.prompt], graph = prompt.lora.tokens.length ? prompt.lora : prompt.base;
    var nodes = shown(), start = state.first ? 0 : 1;
    var rows = [], rowOf = {};
    nodes.slice().sort(function (a, b) { return a.layer - b.layer || (a.matrix < b.matrix ? -1 : a.matrix > b.matrix ? 1 : 0); }).forEach(function (node) {
      var key = node.layer + " " + node.matrix;
      if (!(key in rowOf)) { rowOf[key] = rows.length; rows.push(node); }
    });
    var nTokens = graph.tokens.length - start, room = picture.parentNode.clientWidth - LEFT - COLUMN - 26;
    CELL = Math.max(46, Math.min(160, Math.floor(room / Math.max(1, nTokens))));
    var width = LEFT + Math.max(1, nTokens) * CELL + COLUMN + 24, height = TOP + Math.max(1, rows.length) * ROW + 26;
    picture.textContent = "";
    stage = make("g", { "aria-hidden": "true" }); // read aloud are the text above and the card, not every mark
    picture.appendChild(stage);
    picture.setAttribute("viewBox", "0 0 " + width + " " + height);
    picture.setAttribute("width", width);
    picture.setAttribute("height", height);
    var x = function (t) { return LEFT + (t - start + 0.5) * CELL; };
    stage.appendChild(make("rect", { "class": "target", x: x(graph.target) - CELL / 2, y: 0, width: CELL, height: height }));
    graph.tokens.forEach(function (text, t) {
      if (t < start) return;
      var name = make("text", { "class": "token", transform: "translate(" + (x(t) + 4) + "," + (TOP - 10) + ") rotate(-38)" }, text.length > 12 ? text.slice(0, 11) + "\u2026" : text);
      stage.appendChild(name);
    });
    stage.appendChild(make("text", { x: x(graph.target), y: height - 6, "text-anchor": "middle" }, "target"));
    rows.forEach(function (node, r) {
      var y = TOP + (r + 0.5) * ROW;
      stage.appendChild(make("path", { "class": "row", d: "M" + LEFT + "," + y + "H" + (width - 12) }));
      stage.appendChild(make("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, "L" + node.layer + " " + node.matrix.replace(/self_attn[._]/, "").replace("_proj", "")));
    });
    var largest = 0;
    nodes.forEach(function (node) { node.values.forEach(function (v, t) { if (t >= start) largest = Math.max(largest, Math.abs(v)); }); });
    places = {};
    var crowd = {}, placed = {}, circles = [];
    var isDrawn = function (value, t) { return t >= start && Math.abs(value) >= Math.max(1e-4, largest * 0.005); };
    nodes.forEach(function (node) {
      var r = rowOf[node.layer + " " + node.matrix];
      node.values.forEach(function (value, t) { if (isDrawn(value, t)) crowd[r + ":" + t] = (crowd[r + ":" + t] || 0) + 1; });
    });
    nodes.forEach(function (node) {
      var r = rowOf[node.layer + " " + node.matrix], y = TOP + (r + 0.5) * ROW, best = 0;
      node.values.forEach(function (value, t) {
        if (!isDrawn(value, t)) return;
        var key = r + ":" + t, n = placed[key] = (placed[key] || 0) + 1, apart = Math.min(9, (CELL - 10) / crowd[key]);
        var cx = x(t) + (n % 2 ? 1 : -1) * Math.floor(n / 2) * apart, cy = y + ((n * 7) % 5 - 2) * 1.6;
        var circle = make("circle", { "class": "part " + (value < 0 ? "down" : "up"), cx: cx, cy: cy, r: (2.5 + 8 * Math.sqrt(Math.abs(value) / largest)).toFixed(1), "data-id": node.id });
        circle.appendChild(make("title", {}, node.id + " at " + graph.tokens[t] + ": " + signed(value)));
        circles.push([Math.abs(value), circle]);
        if (Math.abs(value) > best) { best = Math.abs(value); places[node.id] = [cx, cy]; }
      });
    });
    if (state.edges) drawEdges(x(graph.target), height - 18);
    circles.sort(function (a, b) { return b[0] - a[0]; }).forEach(function (pair) { stage.appendChild(pair[1]); });
    drawAblation(nodes, rowOf, width - COLUMN - 12, (state.mode === "base" ? prompt.base : prompt.lora).random);
    var model = state.mode === "base" ? prompt.base : prompt.lora;
    told.textContent = nodes.length + " parts shown. Target " + prompt.target + ": probability " + prompt.base.prob.toPrecision(2) + " by the base, " + prompt.lora.prob.toPrecision(2) + " by the adapted model. Completeness gap " + signed(model.gap, 4) + "." + (state.sure && !nodes.length ? " Nothing here stands out from the null adapter." : "");
    if (state.chosen && !nodes.some(function (node) { return node.id === state.chosen; })) state.chosen = null;
    focusOn(state.chosen);
    showCard();
  }
  // Layers run downwards, so the target, which all of them write to, is the end of its column.
  function drawEdges(targetX, targetY) {
    var edges = currentEdges(), largest = Math.max.apply(null, edges.map(function (e) { return Math.abs(e[2]); }).concat(1e-12));
    edges.forEach(function (edge) {
      var from = places[edge[0]], to = edge[1] === "output" ? [targetX, targetY] : places[edge[1]];
      if (!from || !to) return;
      var middle = (from[1] + to[1]) / 2;
      stage.appendChild(make("path", { "class": "edge " + (edge[2] < 0 ? "down" : "up"), d: "M" + from[0] + "," + from[1] + "C" + from[0] + "," + middle + " " + to[0] + "," + middle + " " + to[0] + "," + to[1], "stroke-width": (0.6 + 2.2 * Math.abs(edge[2]) / largest).toFixed(2), "data-from": edge[0], "data-to": edge[1] }));
    });
  }
  // Beside every row: what f loses without each part, over the range of random parts.
  function drawAblation(nodes, rowOf, left, random) {
    var values = nodes.filter(function (node) { return node.ablation !== null; });
    var reach = Math.max.apply(null, values.map(function (node) { return Math.abs(node.ablation); }).concat((random || []).map(Math.abs), 1e-9));
    var scale = function (value) { return left + COLUMN / 2 + value / reach * (COLUMN / 2 - 4); };
    stage.appendChild(make("text", { x: left + COLUMN / 2, y: TOP - 26, "text-anchor": "middle" }, "without it"));
    stage.appendChild(make("text", { x: left + COLUMN / 2, y: TOP - 12, "text-anchor": "middle" }, "\u2212" + reach.toFixed(2) + " \u2026 +" + reach.toFixed(2)));
    Object.keys(rowOf).forEach(function (key) {
      var y = TOP + (rowOf[key] + 0.5) * ROW;
      if (random) stage.appendChild(make("rect", { "class": "null", x: scale(-random[1]), y: y - 8, width: Math.max(1, scale(-random[0]) - scale(-random[1])), height: 16 }));
      stage.appendChild(make("path", { "class": "zero", d: "M" + scale(0) + "," + (y - 8) + "V" + (y + 8) }));
    });
    values.forEach(function (node) {
      var y = TOP + (rowOf[node.layer + " " + node.matrix] + 0.5) * ROW;
      var mark = make("rect", { "class": "part " + (node.ablation > 0 ? "up" : "down"), x: scale(-node.ablation) - 3, y: y - 3, width: 6, height: 6, "data-id": node.id });
      mark.appendChild(make("title", {}, node.id + " removed: " + signed(-node.ablation) + (random ? ", random parts " + signed(-random[1]) + " to " + signed(-random[0]) : "")));
      stage.appendChild(mark);
    });
  }
  // The part, its neighbours over edges, and nothing else.
  function focusOn(id) {
    var near = {};
    if (id) {
      near[id] = true;
      currentEdges().forEach(function (edge) { if (edge[0] === id) near[edge[1]] = true; if (edge[1] === id) near[edge[0]] = true; });
    }
    picture.querySelectorAll("[data-id]").forEach(function (mark) {
      mark.classList.toggle("faded", Boolean(id) && !near[mark.dataset.id]);
      mark.classList.toggle("chosen", mark.dataset.id === id);
    });
    picture.querySelectorAll("[data-from]").forEach(function (edge) {
      edge.classList.toggle("faded", Boolean(id) && edge.dataset.from !== id && edge.dataset.to !== id);
    });
  }
  function showCard() {
    var node = currentNodes().filter(function (one) { return one.id === state.chosen; })[0];
    card.textContent = "";
    if (!node) { card.appendChild(html("p", "Click a circle, or use the arrow keys in the graph.", "soft small")); return; }
    var graph = data.prompts[state.prompt].lora;
    card.appendChild(html("h3", "Layer " + node.layer + " \u00b7 " + node.matrix + " \u00b7 " + node.number));
    var list = html("dl");
    [["attribution", signed(node.total)], ["mean gate", node.gate.toFixed(3)],
      ["without it", node.ablation === null ? "not ablated alone" : signed(-node.ablation)],
      ["q against the null", node.q === null ? "no null" : node.q.toFixed(3)]].forEach(function (row) {
      list.appendChild(html("dt", row[0]));
      list.appendChild(html("dd", row[1]));
    });
    card.appendChild(list);
    var place = data.cards[state.mode === "base" ? "base" : "lora"];
    if (place && graph.kind === "components") { // a server reads what is asked for, a file what it is called
      var name = encodeURIComponent(node.id), link = html("a", "Its card in the components browser");
      link.href = place + "?card=" + name + "#" + name;
      card.appendChild(link);
    }
    card.appendChild(html("h4", "By token"));
    var tokens = html("ol"), reach = Math.max.apply(null, node.values.map(Math.abs).concat(1e-12));
    node.values.map(function (value, t) { return [value, t]; }).filter(function (pair) { return state.first || pair[1] > 0; })
      .sort(function (a, b) { return Math.abs(b[0]) - Math.abs(a[0]); }).slice(0, 8).forEach(function (pair) {
        var item = html("li"), bar = make("svg", { "class": "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" });
        var share = 50 * Math.abs(pair[0]) / reach;
        bar.appendChild(make("rect", { "class": pair[0] < 0 ? "down" : "up", x: pair[0] < 0 ? 50 - share : 50, width: share, height: 6 }));
        item.appendChild(html("code", graph.tokens[pair[1]]));
        item.appendChild(bar);
        item.appendChild(html("span", signed(pair[0]), "number"));
        tokens.appendChild(item);
      });
    card.appendChild(tokens);
  }
  function choose(id) { state.chosen = id; focusOn(id); showCard(); }

  picture.addEventListener("click", function (event) {
    var mark = event.target.closest("[data-id]");
    choose(mark ? mark.dataset.id : null);
  });
  picture.addEventListener("mouseover", function (event) {
    var mark = event.target.closest("[data-id]");
    focusOn(mark ? mark.dataset.id : state.chosen);
  });
  picture.addEventListener("mouseleave", function () { focusOn(state.chosen); });
  picture.addEventListener("keydown", function (event) {
    var step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") choose(null);
    if (!step) return;
    var order = shown().sort(function (a, b) { return Math.abs(b.total) - Math.abs(a.total); }).map(function (node) { return node.id; });
    if (!order.length) return;
    var at = order.indexOf(state.chosen);
    choose(order[at < 0 ? 0 : (at + step + order.length) % order.length]);
    event.preventDefault();
  });
  document.getElementById("prompt").addEventListener("change", function (event) { state.prompt = Number(event.target.value); state.chosen = null; draw(); });
  ["edges", "first", "sure"].forEach(function (name) {
    document.getElementById(name).addEventListener("change", function (event) { state[name] = event.target.checked; draw(); });
  });
  document.querySelectorAll("[data-mode]").forEach(function (button) {
    button.addEventListener("click", function () {
      state.mode = button.dataset.mode;
      document.querySelectorAll("[data-mode]").forEach(function (one) { one.setAttribute("aria-pressed", String(one === button)); });
      draw();
    });
  });
  function save(name, type, text) {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: type }));
    link.download = name;
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
  }
  document.getElementById("save-json").addEventListener("click", function () { save("attribution.json", "application/json", JSON.stringify(data.prompts[state.prompt], null, 1)); });
  document.getElementById("save-svg").addEventListener("click", function () {
    var copy = picture.cloneNode(true), originals = picture.querySelectorAll("*"), copies = copy.querySelectorAll("*");
    // The style sheet stays behind: what it says of each mark goes along with the mark.
    for (var i = 0; i < originals.length; i++) {
      var style = getComputedStyle(originals[i]);
      ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity"].forEach(function (name) { copies[i].setAttribute(name, style.getPropertyValue(name)); });
    }
    // Its own paper goes along too: a dark page's text would vanish on a white one.
    var paper = make("rect", { width: "100%", height: "100%", fill: getComputedStyle(picture.parentNode).backgroundColor });
    copy.insertBefore(paper, copy.firstChild);
    copy.setAttribute("xmlns", NS);
    copy.setAttribute("font-family", "sans-serif");
    copy.setAttribute("font-size", "11");
    save("attribution.svg", "image/svg+xml", new XMLSerializer().serializeToString(copy));
  });
  window.addEventListener("resize", draw);
  draw();
})();
