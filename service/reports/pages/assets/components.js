// Search, filters and pages over the components that the page holds. Text enters as text nodes only.
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("components").textContent), all = data.cards;
  var byId = function (id) { return document.getElementById(id); };
  var previous = byId("previous"), next = byId("next");
  byId("filter").hidden = false;
  var texts = all.map(function (card) {
    return [card.label, card.id, card.group].concat(card.inputs.map(function (f) { return f[0]; }), card.outputs.map(function (f) { return f[0]; })).join("\n").toLowerCase();
  });
  var page = 0, found = [];

  function html(tag, text, css) {
    var element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (css) element.className = css;
    return element;
  }
  function percent(share) { return (100 * share).toFixed(0) + " %"; }
  function isCount(n) { return typeof n === "number"; }
  function thousands(n) { return n.toLocaleString("en"); }
  function draw(card) {
    var article = html("article", undefined, "card stack"), header = html("header"), place = html("p", card.id + " ", "small soft");
    article.id = card.id;
    header.appendChild(html("h2", card.label));
    if (card.isCorpus) place.appendChild(html("span", data.corpus, "badge"));
    if (card.isChanged) place.appendChild(html("span", "changed", "badge"));
    header.appendChild(place);
    article.appendChild(header);
    article.appendChild(html("p", "density " + card.density.toFixed(4) + (isCount(card.nBase) ? " \u00b7 " + thousands(card.n) + " tokens, " + thousands(card.nBase) + " in the base" : "") + " \u00b7 " + (card.first === null ? "never" : percent(card.first)) + " at position 0 \u00b7 " + (card.score ? "label AUROC " + card.score[0].toFixed(2) + " (" + card.score[1].toFixed(2) + " to " + card.score[2].toFixed(2) + ")" : "label not scored"), "small soft"));
    if (card.change) article.appendChild(html("p", card.change, "small soft"));
    [["on", card.inputs], ["before", card.outputs]].forEach(function (side) {
      if (!side[1].length) return;
      var line = html("p", undefined, "small");
      line.appendChild(html("span", side[0], "soft"));
      side[1].forEach(function (figure) {
        line.appendChild(document.createTextNode(" "));
        line.appendChild(html("code", figure[0]));
        line.appendChild(document.createTextNode(" " + percent(figure[1])));
      });
      article.appendChild(line);
    });
    card.windows.forEach(function (window_) {
      var line = html("p", window_[0], "window");
      line.appendChild(html("mark", window_[1]));
      line.appendChild(document.createTextNode(window_[2]));
      article.appendChild(line);
    });
    return article;
  }
  function show() {
    var n = Math.max(1, Math.ceil(found.length / data.perView)), cards = byId("cards");
    page = Math.min(Math.max(0, page), n - 1);
    var fresh = document.createDocumentFragment();
    found.slice(page * data.perView, (page + 1) * data.perView).forEach(function (i) { fresh.appendChild(draw(all[i])); });
    cards.textContent = "";
    cards.appendChild(fresh);
    byId("found").textContent = found.length.toLocaleString("en") + " of " + all.length.toLocaleString("en") + " components.";
    byId("place").textContent = "page " + (page + 1) + " of " + n;
    previous.hidden = next.hidden = n < 2;
    previous.disabled = page === 0;
    next.disabled = page === n - 1;
  }
  function filter() {
    var wanted = byId("search").value.trim().toLowerCase(), group = byId("group").value, state = byId("state").value, order = byId("order").value;
    found = [];
    all.forEach(function (card, i) {
      if (wanted && texts[i].indexOf(wanted) < 0) return;
      if (group && card.group !== group) return;
      if (state === "alive" && !card.n) return;
      if (state === "base" && !card.nBase) return;
      if (state === "gained" && (!card.n || card.nBase !== 0)) return;
      if (state === "lost" && (card.n || !card.nBase)) return;
      if (state === "clear" && !card.isClear) return;
      if (state === "author" && (!card.isClear || card.isCorpus)) return;
      if (state === "changed" && !card.isChanged) return;
      found.push(i);
    });
    if (order === "density") found.sort(function (a, b) { return all[b].density - all[a].density; });
    if (order === "score") found.sort(function (a, b) { return (all[b].score ? all[b].score[0] : -1) - (all[a].score ? all[a].score[0] : -1); });
    page = 0;
    show();
  }
  ["search", "group", "state", "order"].forEach(function (id) { byId(id).addEventListener("input", filter); });
  previous.addEventListener("click", function () { page -= 1; show(); });
  next.addEventListener("click", function () { page += 1; show(); });
  document.addEventListener("keydown", function (event) {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "ArrowRight") { page += 1; show(); }
    if (event.key === "ArrowLeft") { page -= 1; show(); }
  });
  filter();
  // A link from the graph names a card.
  var named = decodeURIComponent(location.hash.slice(1));
  all.forEach(function (card, i) { if (named && card.id === named) { page = Math.floor(found.indexOf(i) / data.perView); show(); byId(card.id).scrollIntoView(); } });
})();
